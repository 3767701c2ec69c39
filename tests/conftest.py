"""Brokers to test on: the embedded one, and a real Apache Kafka in the lane `kafka`.

The real one is at `LOOKSTREAM_TEST_KAFKA` (host:port), or is our own (`tests.servers.kafka`)
where Java and Maven are there.
"""

import os
import uuid
from collections.abc import Iterator

import pytest

from stream.connection import Kafka
from stream.embedded_broker import EmbeddedBroker
from stream.topics import Topics, create_topics, topic_map
from tests.servers import ServerMissing
from tests.servers.kafka import KafkaCluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A server to start first is slow: the fast lane goes without."""
    for item in items:
        if item.get_closest_marker("kafka") or item.get_closest_marker("milvus"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def embedded() -> Iterator[Kafka]:
    with EmbeddedBroker() as broker:
        yield Kafka(bootstrap=broker.bootstrap)


@pytest.fixture(scope="session")
def cluster() -> Iterator[KafkaCluster]:
    """An Apache Kafka of our own, one broker with every listener; don't kill it."""
    try:
        with KafkaCluster(secure=True) as cluster:
            yield cluster
    except ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def kafka_server(request: pytest.FixtureRequest) -> Kafka:
    """The address of a real Apache Kafka."""
    if address := os.environ.get("LOOKSTREAM_TEST_KAFKA"):
        return Kafka(bootstrap=address)
    cluster: KafkaCluster = request.getfixturevalue("cluster")
    return cluster.plain


@pytest.fixture(scope="session")
def secure_kafka(cluster: KafkaCluster) -> Kafka:
    """The listener of our own cluster that asks for TLS and a password."""
    return cluster.password


@pytest.fixture(scope="session")
def mutual_kafka(cluster: KafkaCluster) -> Kafka:
    """The listener of our own cluster that asks for TLS and a client certificate."""
    return cluster.mutual


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def kafka(request: pytest.FixtureRequest) -> Kafka:
    """Every test that takes this runs on both brokers."""
    name = "embedded" if request.param == "embedded" else "kafka_server"
    address: Kafka = request.getfixturevalue(name)
    return address


@pytest.fixture
def topics(kafka: Kafka) -> Topics:
    """Topics of this test alone."""
    topics = topic_map(f"test-{uuid.uuid4().hex[:8]}")
    create_topics(kafka, topics)
    return topics
