"""How far a consumer group has come, given to another group."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.connection import Kafka, retry_until_leader
from stream.errors import BrokerError
from stream.records import partitions


def copy_positions(
    kafka: Kafka, topics: Iterable[str], *, of: str, to: str, timeout_s: float = 30.0
) -> None:
    """Let a group, which nobody has joined, go on where another stands now.

    Where that has committed nothing, the group gets no position either: it begins at the beginning.

    Raises:
        BrokerError: a topic does not exist, or Kafka does not answer.
    """
    try:
        with (
            closing(Consumer(kafka.consumer(of))) as source,
            closing(Consumer(kafka.consumer(to))) as target,
        ):
            for topic in topics:
                found = sorted(partitions(source, topic, timeout_s))
                places = [TopicPartition(topic, partition) for partition in found]
                kept = retry_until_leader(source.committed, places, timeout=timeout_s)
                if known := [place for place in kept if place.offset >= 0]:
                    retry_until_leader(target.commit, offsets=known, asynchronous=False)
    except KafkaException as error:
        raise BrokerError(f"cannot copy the position of {of}: {error.args[0].str()}") from error
