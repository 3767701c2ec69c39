"""Reading a span of a topic again: from an offset or a time to another, at full speed.

Partitions are assigned, not subscribed to: no group is joined, and no group's offsets move but
those under which a replay saves its position (`SpanReader.save`), to go on where it ended.

The embedded broker's watermarks are too low and its `offsets_for_times` is always 0. So neither is
relied on: an offset for a time is only where the search begins, each record's own time decides, and
the end is where the broker has nothing more to send.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from types import TracebackType
from typing import Self

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from stream.connection import FETCH_WAIT_MS, Kafka, retry_until_leader
from stream.errors import BrokerError, StreamError
from stream.records import Record, from_confluent, partitions, take

OFFSET_INVALID = -1001  # librdkafka: nothing is committed


class Edge(Enum):
    """A bound of a span that is no number."""

    BEGINNING = "BEGINNING"  # the oldest record in the topic
    LAST = "LAST"  # where the last replay of this name ended; its beginning, if there was none
    NOW = "NOW"  # the end of the topic when the reader reaches it


@dataclass(frozen=True)
class Offset:
    """The same offset in every partition."""

    number: int


@dataclass(frozen=True)
class Time:
    """A record's time, in milliseconds since the epoch."""

    ms: int


@dataclass(frozen=True)
class Newest:
    """So many records before the end of the topic, spread over its partitions."""

    count: int


Point = Edge | Offset | Time | Newest


@dataclass(frozen=True)
class Span:
    """From `start` (included) to `end` (excluded)."""

    start: Point = Edge.BEGINNING
    end: Point = Edge.NOW

    def includes(self, record: Record) -> bool:
        """Whether a record lies inside, by its offset and time."""
        return not (
            (isinstance(self.start, Offset) and record.offset < self.start.number)
            or (isinstance(self.start, Time) and record.timestamp_ms < self.start.ms)
            or (isinstance(self.end, Offset) and record.offset >= self.end.number)
            or (isinstance(self.end, Time) and record.timestamp_ms >= self.end.ms)
        )


def parse_span(start: str, end: str) -> Span:
    """Parse a span: BEGINNING, LAST or NOW, an offset, or an ISO 8601 time (UTC without a zone).

    Raises `StreamError` for anything else, and for a span that cannot hold a record.
    """
    span = Span(_parse_point(start), _parse_point(end))
    if span.start is Edge.NOW or span.end in {Edge.BEGINNING, Edge.LAST}:
        raise StreamError(f"nothing lies from {start} to {end}: a span ends after its beginning")
    return span


class SpanReader:
    """The records of a span, partition by partition in order; a context manager, read once.

    `group` is the name under which `save` stores the position. `total` is how many
    records lie ahead at most, according to the broker's watermarks. Raises `BrokerError` if
    the topic does not exist or the broker sends nothing for `timeout_s` seconds.
    """

    def __init__(
        self,
        kafka: Kafka,
        topic: str,
        span: Span,
        *,
        group: str,
        timeout_s: float = 30.0,
        fetch_wait_ms: int = FETCH_WAIT_MS,
    ) -> None:
        self.topic = topic
        self.positions: dict[int, int] = {}
        """Partition -> next offset; all before it was yielded, or lies before the span."""
        self._span = span
        self._timeout_s = timeout_s
        self._kafka = kafka
        self._began_ms = time.time_ns() // 1_000_000
        self._consumer = Consumer(
            kafka.consumer(group, enable_partition_eof=True, fetch_wait_max_ms=fetch_wait_ms)
        )
        try:
            found = sorted(partitions(self._consumer, topic, timeout_s))
            places = [TopicPartition(topic, partition) for partition in found]
            self._starts = retry_until_leader(self._start, places)
            self._ends = {
                place.partition: retry_until_leader(self._watermark, place) for place in places
            }
            if isinstance(span.start, Offset):
                for place in self._starts:
                    # Asked for an offset beyond the end, the embedded broker never answers.
                    place.offset = min(place.offset, self._ends[place.partition])
        except KafkaException as error:
            self._consumer.close()
            raise BrokerError(f"cannot read {topic}: {error.args[0].str()}") from error
        except BaseException:
            self._consumer.close()
            raise
        self.total = sum(
            max(0, self._ends[place.partition] - max(0, place.offset)) for place in self._starts
        )

    def __iter__(self) -> Iterator[Record]:
        unread = {place.partition for place in self._starts}
        left_out: set[int] = set()  # partitions in which a record past the end time was seen
        self._consumer.assign(self._starts)
        while unread:
            for message in self._take():
                partition = message.partition() or 0
                if partition not in unread:
                    continue
                if _at_end(message):
                    if partition not in left_out:
                        self.positions[partition] = message.offset() or 0
                    unread.discard(partition)
                    continue
                record = from_confluent(message)
                if self._beyond(record):
                    self.positions.setdefault(partition, record.offset)
                    self._consumer.pause([TopicPartition(self.topic, partition)])
                    unread.discard(partition)
                    continue
                if self._too_late(record) and partition not in left_out:
                    left_out.add(partition)
                    self.positions[partition] = record.offset
                if partition not in left_out:
                    self.positions[partition] = record.offset + 1
                if self._span.includes(record):
                    yield record

    def further(self) -> Iterator[Record]:
        """What lies after that, to the end of the topic as it is now; may be called again.

        The end is where the broker has no more of a partition, whatever its records' times and its
        watermarks say: nothing that was there before the call is left out.
        """
        places = [
            TopicPartition(
                self.topic,
                place.partition,
                self.positions.get(place.partition, place.offset),
            )
            for place in self._starts
        ]
        unread = {place.partition for place in places}
        self._consumer.assign(places)
        while unread:
            for message in self._take():
                partition = message.partition() or 0
                if partition not in unread:
                    continue
                if _at_end(message):
                    self.positions[partition] = message.offset() or 0
                    unread.discard(partition)
                    continue
                record = from_confluent(message)
                self.positions[partition] = record.offset + 1
                yield record

    def save_start(self) -> None:
        """Store where the span begins, as if all before it had been read; raises `BrokerError`."""
        # Where no record is so late there is no offset. Asked again, since the ends were read after
        # the first answer: what lies before them is earlier then.
        places = [TopicPartition(self.topic, place.partition) for place in self._starts]
        self.positions = {
            place.partition: place.offset if place.offset >= 0 else self._ends[place.partition]
            for place in retry_until_leader(self._start, places)
            if place.offset != OFFSET_BEGINNING
        }
        self.save()

    def save(self) -> None:
        """Store the position, for a span from `Edge.LAST`; raises `BrokerError`."""
        places = [TopicPartition(self.topic, *place) for place in self.positions.items()]
        if not places:
            return
        try:
            retry_until_leader(self._consumer.commit, offsets=places, asynchronous=False)
        except KafkaException as error:
            raise BrokerError(f"cannot save the position: {error.args[0].str()}") from error

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self) -> list[Message]:
        """What comes next."""
        messages = take(self._consumer, self._timeout_s)
        if not messages:
            raise BrokerError(
                f"{self._kafka.bootstrap} sent nothing of {self.topic} in {self._timeout_s:g} s"
            )
        return messages

    def _start(self, places: list[TopicPartition]) -> list[TopicPartition]:
        """The places with the offsets to read from."""
        start, timeout = self._span.start, self._timeout_s
        if isinstance(start, Time):
            wanted = [TopicPartition(self.topic, place.partition, start.ms) for place in places]
            return list(self._consumer.offsets_for_times(wanted, timeout=timeout))
        if start is Edge.LAST:
            kept = self._consumer.committed(places, timeout=timeout)
            for place in kept:
                place.offset = OFFSET_BEGINNING if place.offset == OFFSET_INVALID else place.offset
            return list(kept)
        if isinstance(start, Newest):
            each = -(-start.count // len(places))
            return [
                TopicPartition(self.topic, place.partition, max(0, self._watermark(place) - each))
                for place in places
            ]
        offset = start.number if isinstance(start, Offset) else OFFSET_BEGINNING
        return [TopicPartition(self.topic, place.partition, offset) for place in places]

    def _watermark(self, place: TopicPartition) -> int:
        _, high = self._consumer.get_watermark_offsets(place, timeout=self._timeout_s)
        return int(high)

    def _too_late(self, record: Record) -> bool:
        return isinstance(self._span.end, Time) and record.timestamp_ms >= self._span.end.ms

    def _beyond(self, record: Record) -> bool:
        """Whether this record, and all after it in its partition, lie past the span."""
        if isinstance(self._span.end, Offset):
            return record.offset >= self._span.end.number
        # New records may keep coming. The watermark may be one batch low, so past it the time
        # decides.
        return record.offset >= self._ends[record.partition] and (
            record.timestamp_ms > self._began_ms
        )


def _parse_point(text: str) -> Point:
    if text.upper() in Edge.__members__:
        return Edge[text.upper()]
    if text.isdecimal():
        return Offset(int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise StreamError(
            f"{text!r} is no point of a topic: give BEGINNING, LAST, NOW, an offset, or a time "
            "like 2026-05-01T12:00 (UTC)"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return Time(round(moment.timestamp() * 1000))


def _at_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF
