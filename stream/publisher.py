"""A durable producer, and waiting until a consumer group has committed what it sent.

A message counts as published when every in-sync replica has it; `flush` returns then, or raises.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from stream.connection import Kafka
from stream.errors import BrokerError, DeliveryStuck
from stream.schema_registry import framing

Headers = Iterable[tuple[str, bytes]]
POLL_S = 0.2
ANY_PARTITION = -1
# For one topic: partition -> the offset after the last published message.
Offsets = dict[int, int]


class Publisher:
    """A durable producer; a context manager that flushes on the way out.

    `timeout_s`: how long a message may take until it counts as undelivered. `extra` are settings
    of the underlying producer, `_` for `.`.
    """

    def __init__(self, kafka: Kafka, *, timeout_s: float = 60.0, **extra: Any) -> None:
        self._kafka = kafka
        self._timeout_s = timeout_s
        self._producer = Producer(
            kafka.producer(message_timeout_ms=round(timeout_s * 1000), **extra)
        )
        self._frame = framing(kafka.schema_registry)
        self._ends: dict[str, Offsets] = {}
        self._failed: list[str] = []

    def publish(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
        partition: int = ANY_PARTITION,
        on_delivered: Callable[[int, int], None] | None = None,
    ) -> None:
        """Queue a message; blocks while the queue is full.

        `timestamp_ms` is the record's time in milliseconds since the epoch (default: now);
        `partition` is chosen by the key by default. `on_delivered` gets the partition and the
        offset once the message is durable.
        Raises `BrokerError` at once for a message that is too large; other failures show in
        `flush`.
        """
        while True:
            try:
                self._producer.produce(
                    topic,
                    key=key,
                    value=self._frame(value),
                    headers=list(headers),
                    on_delivery=partial(self._delivered, on_delivered),
                    timestamp=timestamp_ms or 0,  # 0: now
                    partition=partition,
                )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise BrokerError(
                    f"{topic}: the message of key {key!r} was rejected: {error.args[0].str()}"
                ) from error
            else:
                self._producer.poll(0)
                return

    def flush(self, timeout_s: float | None = None) -> dict[str, Offsets]:
        """Wait until everything published is durable.

        Returns the end offsets so far, topic -> partition -> offset after our last message.
        Raises `BrokerError` if a message was not delivered, or not within `timeout_s` seconds
        (default: the publisher's time-out); the failures are then forgotten.
        """
        left = self._producer.flush(self._timeout_s + 1 if timeout_s is None else timeout_s)
        failed, self._failed = self._failed, []
        if failed or left:
            raise BrokerError(
                f"{len(failed) + left} messages were not delivered to {self._kafka.bootstrap}: "
                f"{failed[0] if failed else 'no answer in time'}"
            )
        return {topic: dict(ends) for topic, ends in self._ends.items()}

    def _delivered(
        self,
        on_delivered: Callable[[int, int], None] | None,
        error: KafkaError | None,
        message: Message,
    ) -> None:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error or topic is None or partition is None or offset is None:
            self._failed.append(f"{topic}: {error.str() if error else 'no offset'}")
        else:
            ends = self._ends.setdefault(topic, {})
            ends[partition] = max(offset + 1, ends.get(partition, 0))
            if on_delivered:
                on_delivered(partition, offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.flush()
        else:  # another error is on its way: do not wait for what is queued
            self._producer.purge()


def wait_committed(
    kafka: Kafka,
    group: str,
    topic: str,
    offsets: Mapping[int, int],
    *,
    timeout_s: float,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Return when `group` has committed `offsets` (partition -> end offset) of `topic`.

    `on_progress` gets the number of records still to go, about five times a second. Raises
    `DeliveryStuck` when nothing was committed for `timeout_s` seconds: progress resets the clock.
    """
    if not offsets:
        return
    consumer = Consumer(kafka.consumer(group))
    left, why, since = None, "", time.monotonic()
    try:
        while left != 0:
            try:
                behind = _behind(consumer, topic, offsets)
            except (
                KafkaException
            ) as error:  # the coordinator moves or loads: retry until the time-out
                why = f" ({error.args[0].str()})"
            else:
                if left is None or behind < left:
                    since = time.monotonic()
                left, why = behind, ""
                if on_progress:
                    on_progress(left)
            if time.monotonic() - since > timeout_s:
                raise DeliveryStuck(
                    f"group {group} committed nothing of {topic} for {timeout_s:g} s{why}, "
                    f"{left} records to go: is its worker running? Its log says why it waits."
                )
            if left != 0:
                time.sleep(POLL_S)
    finally:
        consumer.close()


def _behind(consumer: Consumer, topic: str, offsets: Mapping[int, int]) -> int:
    """How many records the consumer's group has not committed yet."""
    wanted = [TopicPartition(topic, partition) for partition in offsets]
    committed = consumer.committed(wanted, timeout=10)
    # A negative offset means that nothing was committed yet.
    return sum(max(0, offsets[done.partition] - max(0, done.offset)) for done in committed)
