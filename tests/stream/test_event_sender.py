"""Single messages: where they landed, and that a failure reaches who sent them."""

import pytest

from stream.connection import Kafka
from stream.embedded_broker import claim_port
from stream.errors import BrokerError
from stream.event_sender import EventSender, Place
from stream.records import read_topic
from stream.topics import Topics


@pytest.mark.slow
def test_each_message_has_the_place_that_kafka_gave_it(kafka: Kafka, topics: Topics) -> None:
    topic = topics.catalog.name
    with EventSender(kafka) as sender:
        sent = [sender.send(topic, f"product-{at % 5}", str(at).encode()) for at in range(200)]
    found = {
        Place(one.topic, one.partition, one.offset): one.value for one in read_topic(kafka, topic)
    }
    assert [found[one.result(0)] for one in sent] == [str(at).encode() for at in range(200)]


def test_a_broker_that_is_not_there_fails_the_future() -> None:
    with EventSender(Kafka(bootstrap=f"127.0.0.1:{claim_port()}"), timeout_s=1) as sender:
        sent = sender.send("products", "a", b"1")
        with pytest.raises(BrokerError, match="not delivered"):
            sent.result(10)


def test_a_message_that_is_too_large_fails_at_once(kafka: Kafka, topics: Topics) -> None:
    with EventSender(kafka) as sender:
        sent = sender.send(topics.catalog.name, "a", bytes(40_000_000))
        with pytest.raises(BrokerError, match="rejected"):
            sent.result(0)
