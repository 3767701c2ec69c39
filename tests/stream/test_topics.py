"""Topics are created as the map says, once; a Kafka that cannot be used says why."""

from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource

from stream.connection import MAX_MESSAGE_BYTES, Kafka, check_broker
from stream.errors import BrokerError
from stream.topics import Topics, create_topics, topic_map


def test_the_map_names_every_topic_once() -> None:
    names = [topic.name for topic in topic_map("shop")]
    assert sorted(names) == [
        "shop.attributed-click",
        "shop.catalog",
        "shop.click",
        "shop.dead-letter",
        "shop.impression",
        "shop.outcome",
        "shop.query",
        "shop.result",
    ]


def test_impressions_and_clicks_are_copartitioned() -> None:
    topics = topic_map(query_partitions=5)
    assert topics.impression.partitions == topics.click.partitions == 5
    assert topics.impression.key == topics.click.key == "query_id"


def test_the_catalog_is_kept_whole() -> None:
    catalog = topic_map().catalog
    assert (catalog.cleanup_policy, catalog.retention_ms) == ("delete", -1)


def test_creating_twice_changes_nothing(kafka: Kafka, topics: Topics) -> None:
    assert create_topics(kafka, topics) == []
    found = AdminClient(kafka.confluent()).list_topics(timeout=10).topics
    for topic in topics:
        assert len(found[topic.name].partitions) == topic.partitions
    extra = replace(topics.click, name=topics.click.name + "-more")
    assert create_topics(kafka, [*topics, extra]) == [extra.name]


@pytest.mark.kafka
def test_a_real_broker_has_their_settings(kafka_server: Kafka) -> None:
    topics = topic_map("settings")
    create_topics(kafka_server, topics)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topics.attributed_click.name)
    admin = AdminClient(kafka_server.confluent())
    future = admin.describe_configs([resource])[resource]
    settings = {name: entry.value for name, entry in future.result(10).items()}
    assert settings["cleanup.policy"] == "compact"
    assert settings["retention.ms"] == "-1"
    assert settings["max.message.bytes"] == str(MAX_MESSAGE_BYTES)


def test_more_replicas_than_brokers_is_refused(embedded: Kafka) -> None:
    with pytest.raises(BrokerError, match="replication factor 3 needs as many brokers"):
        create_topics(embedded, topic_map(), replication_factor=3)


def test_no_broker_is_said_so() -> None:
    with pytest.raises(BrokerError, match=r"no Kafka answers at 127\.0\.0\.1:1 .*refused"):
        create_topics(Kafka(bootstrap="127.0.0.1:1"), topic_map(), timeout_s=1)


def test_the_password_is_not_shown() -> None:
    assert "hush" not in repr(Kafka(bootstrap="b:1", username="u", password="hush"))


@pytest.mark.kafka
def test_tls_and_password(secure_kafka: Kafka) -> None:
    assert check_broker(secure_kafka) == 1
    for wrong, reason in [
        (replace(secure_kafka, password="wrong"), "Invalid username or password"),
        (replace(secure_kafka, ca_file=None), "certificate verify failed"),
        (replace(secure_kafka, sasl_mechanism="SCRAM-SHA-256"), "Unsupported SASL mechanism"),
    ]:
        with pytest.raises(BrokerError, match=reason):
            check_broker(wrong, timeout_s=3)


@pytest.mark.kafka
def test_a_client_certificate(mutual_kafka: Kafka) -> None:
    assert check_broker(mutual_kafka) == 1
    with pytest.raises(BrokerError, match="bad certificate"):
        check_broker(replace(mutual_kafka, cert_file=None, key_file=None), timeout_s=3)


def test_each_client_library_gets_its_dialect() -> None:
    kafka = Kafka(
        bootstrap="a:1, b:2", security_protocol="SASL_PLAINTEXT", username="u", password="p"
    )
    assert kafka.producer(linger_ms=0)["linger.ms"] == 0
    assert kafka.consumer("g")["group.id"] == "g"
    assert kafka.confluent()["sasl.username"] == "u"
    assert kafka.ssl_context() is None
