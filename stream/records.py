"""Kafka records as they are read, whichever client read them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from stream.connection import Kafka, retry_until_leader
from stream.errors import BrokerError
from stream.schema_registry import without_frame


@dataclass(frozen=True, kw_only=True)
class Record:
    """One Kafka record as it was read; `timestamp_ms` is in milliseconds since the epoch.

    The id of a schema that a Schema Registry has is taken off its value.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None = field(repr=False)
    timestamp_ms: int
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def source(self) -> str:
        """`topic/partition/offset`, the record's address."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def from_faust(message: Any) -> Record:
    """The record in a Faust `event.message`."""
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=without_frame(message.value),
        timestamp_ms=round(message.timestamp * 1000),
        headers=_headers(pairs),
    )


def from_confluent(message: Message) -> Record:
    """The record in a confluent-kafka message; raises `BrokerError` if it is an error event."""
    if error := message.error():
        raise BrokerError(f"reading {message.topic()} failed: {error.str()}")
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise BrokerError(f"a record without an address was read: {topic}/{partition}/{offset}")
    return Record(
        topic=topic,
        partition=partition,
        offset=offset,
        key=_bytes(message.key()),
        value=without_frame(_bytes(message.value())),
        timestamp_ms=message.timestamp()[1],
        headers=_headers(message.headers() or ()),
    )


def read_topic(kafka: Kafka, topic: str, *, timeout_s: float = 30.0) -> Iterator[Record]:
    """Yield every record of a topic from its beginning to its end at the moment it is reached.

    Needs no consumer group and leaves no trace. Raises `BrokerError` if the topic does not exist
    or the broker sends nothing for `timeout_s` seconds.
    """
    consumer = Consumer(kafka.consumer("unused", enable_partition_eof=True))
    try:
        unread = partitions(consumer, topic, timeout_s)
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in unread])
        while unread:
            messages = take(consumer, timeout_s)
            if not messages:
                raise BrokerError(f"{kafka.bootstrap} sent nothing of {topic} in {timeout_s:.0f} s")
            for message in messages:
                error = message.error()
                # The end of a partition is its EOF event: the embedded broker's watermarks
                # are too low.
                if error and error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition() or 0)
                else:
                    yield from_confluent(message)
    finally:
        consumer.close()


def take(consumer: Consumer, timeout_s: float, most: int = 500) -> list[Message]:
    """The first message when it arrives, with those there then; [] after `timeout_s` seconds.

    `Consumer.consume` alone would wait for its time-out, unless it gets as many as requested.
    """
    first = consumer.poll(timeout_s)
    return [] if first is None else [first, *consumer.consume(most - 1, 0)]


def partitions(consumer: Consumer, topic: str, timeout_s: float = 10.0) -> set[int]:
    """The partitions of a topic; raises `BrokerError` if there is no such topic or no answer."""
    try:
        found = consumer.list_topics(topic, timeout=timeout_s).topics[topic]
    except KafkaException as error:
        raise BrokerError(f"no Kafka answers: {error.args[0].str()}") from error
    if found.error or not found.partitions:
        raise BrokerError(f"topic {topic} does not exist: create the topics first")
    return set(found.partitions)


def assign_end(consumer: Consumer, kafka: Kafka, *topics: str, timeout_s: float = 10.0) -> None:
    """Read on from the present end of every partition of these topics.

    The embedded broker's end may be one batch low: older records may still come.

    Raises `BrokerError` if there is no such topic or no answer.
    """
    places = [
        TopicPartition(topic, partition)
        for topic in topics
        for partition in sorted(partitions(consumer, topic, timeout_s))
    ]
    try:
        for place in places:
            _, place.offset = retry_until_leader(
                consumer.get_watermark_offsets, place, timeout=10, retry_s=timeout_s
            )
    except KafkaException as error:
        raise BrokerError(
            f"cannot read {place.topic} at {kafka.bootstrap}: {error.args[0].str()}"
        ) from error
    consumer.assign(places)


def _headers(pairs: Any) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, _bytes(value) or b"") for name, value in pairs)


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
