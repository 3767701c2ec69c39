"""What a group has not finished, on both brokers."""

import uuid

import pytest
from confluent_kafka import Consumer, TopicPartition

from stream.connection import Kafka
from stream.errors import BrokerError
from stream.lag import LagReader, PartitionLag
from stream.publisher import Publisher
from stream.topics import Topics


def send(kafka: Kafka, topic: str, count: int, partition: int) -> None:
    """All in one batch, which is what the embedded broker's watermarks are wrong about."""
    with Publisher(kafka, linger_ms=50) as publisher:
        for number in range(count):
            publisher.publish(topic, f"{number}", b"x" * 100, partition=partition)


def commit(kafka: Kafka, group: str, topic: str, offset: int, partition: int) -> None:
    consumer = Consumer(kafka.consumer(group))
    consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
    consumer.close()


def lags(kafka: Kafka, group: str, *topics: str) -> dict[tuple[str, int], PartitionLag]:
    with LagReader(kafka, group, topics) as reader:
        return {(one.topic.rpartition(".")[2], one.partition): one for one in reader.read()}


def test_what_is_not_committed_is_behind(kafka: Kafka, topics: Topics) -> None:
    group, name = f"g-{uuid.uuid4().hex}", topics.catalog.name
    nothing = lags(kafka, group, name)
    assert len(nothing) == topics.catalog.partitions
    assert all((one.committed, one.end, one.lag) == (None, 0, 0) for one in nothing.values())
    send(kafka, name, 50, partition=1)
    never = lags(kafka, group, name)["catalog", 1]
    assert (never.committed, never.end, never.lag) == (None, 50, 50)
    commit(kafka, group, name, 20, partition=1)
    send(kafka, name, 7, partition=1)
    send(kafka, name, 1, partition=0)
    found = lags(kafka, group, name)
    assert (found["catalog", 1].committed, found["catalog", 1].end) == (20, 57)
    assert found["catalog", 1].lag == 37
    assert found["catalog", 0].lag == 1
    commit(kafka, group, name, 57, partition=1)
    assert lags(kafka, group, name)["catalog", 1].lag == 0


def test_several_topics_and_several_readings(kafka: Kafka, topics: Topics) -> None:
    group, clicks, shown = f"g-{uuid.uuid4().hex}", topics.click.name, topics.impression.name
    with LagReader(kafka, group, [clicks, shown]) as reader:
        for expected in range(3):
            total = sum(one.lag for one in reader.read())
            assert total == 2 * expected
            send(kafka, clicks, 1, partition=0)
            send(kafka, shown, 1, partition=1)


def test_a_topic_that_is_not_there(embedded: Kafka) -> None:
    with LagReader(embedded, "g", ["absent"]) as reader, pytest.raises(BrokerError, match="absent"):
        reader.read()
