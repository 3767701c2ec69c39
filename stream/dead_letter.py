"""The dead-letter topic: records that could not be applied, unchanged, and why.

A dead letter is the original record (key, bytes, headers, event time) with `dlq.*` headers added:
its source, the reason, the number of attempts, and a trace id to find it in the logs.

That a letter was redriven is recorded in the topic itself: by a mark, an empty record in the
letter's partition whose header `dlq.redriven` names the rejected record. A mark covers the letters
of that record that lie before it; if the record is rejected once more, that is a new letter.
"""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from stream.connection import Kafka
from stream.delivery import Rejection
from stream.errors import BrokerError, Transient
from stream.publisher import Publisher
from stream.records import Record, read_topic
from stream.topics import Topics

PREFIX = "dlq."
MARK = PREFIX + "redriven"
# W3C Trace Context: a record that already belongs to a trace keeps it.
TRACE_PARENT = "traceparent"
MAX_REASON_CHARS = 2000
# The *client's* limit: brokers limit the compressed size, so a record that was read may be much
# larger than their limit, and it must be possible to write it again.
MAX_UNCOMPRESSED_BYTES = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A rejected record; `record` is the original, with its own headers only."""

    record: Record
    reason: str
    error_class: str
    attempts: int
    trace_id: str
    rejected_ms: int
    """When it was rejected, in milliseconds since the epoch."""
    partition: int
    offset: int
    """Where the letter itself lies in the dead-letter topic."""


@dataclass(frozen=True)
class Mark:
    """The letters of the record at `source` that lie before this offset were redriven."""

    source: str
    partition: int
    offset: int


class DeadLetters:
    """Writes dead letters durably; call it from `Delivery`, or `send` from a plain loop."""

    def __init__(self, kafka: Kafka, topics: Topics, *, timeout_s: float = 60.0) -> None:
        self._topic = topics.dead_letter.name
        self._publisher = Publisher(
            kafka,
            timeout_s=timeout_s,
            message_max_bytes=MAX_UNCOMPRESSED_BYTES,
            compression_type="zstd",
            linger_ms=0,
        )

    def send(self, record: Record, rejection: Rejection, attempts: int) -> None:
        """Write the letter and return when every in-sync replica has it.

        Raises `Transient` if Kafka did not confirm it; after a retry the letter may be there twice.
        """
        try:
            self._publisher.publish(
                self._topic, record.key, record.value, _headers(record, rejection, attempts)
            )
            self._publisher.flush()
        except BrokerError as error:
            raise Transient(
                f"the dead letter of {record.source} is not durable yet: {error}"
            ) from error

    async def __call__(self, record: Record, rejection: Rejection, attempts: int) -> None:
        """`send`, without blocking the event loop."""
        await asyncio.to_thread(self.send, record, rejection, attempts)


def read_dead_letters(kafka: Kafka, topics: Topics) -> Iterator[DeadLetter]:
    """Yield every dead letter, oldest first, up to the current end of the topic."""
    return (one for one in read_letters_and_marks(kafka, topics) if isinstance(one, DeadLetter))


def read_letters_and_marks(kafka: Kafka, topics: Topics) -> Iterator[DeadLetter | Mark]:
    """Yield dead letters and marks in their order; a mark comes after the letters it covers."""
    for record in read_topic(kafka, topics.dead_letter.name):
        source = dict(record.headers).get(MARK)
        if source is None:
            yield parse(record)
        else:
            yield Mark(source.decode(errors="replace"), record.partition, record.offset)


def parse(letter: Record) -> DeadLetter:
    """The dead letter in a record of the dead-letter topic.

    Headers that are missing or damaged (a letter that another program wrote) read as empty or 0.
    """
    notes = {
        name.removeprefix(PREFIX): value.decode(errors="replace")
        for name, value in letter.headers
        if name.startswith(PREFIX)
    }
    return DeadLetter(
        record=Record(
            topic=notes.get("topic", ""),
            partition=_number(notes, "partition"),
            offset=_number(notes, "offset"),
            key=letter.key,
            value=letter.value,
            timestamp_ms=_number(notes, "timestamp"),
            headers=tuple(h for h in letter.headers if not h[0].startswith(PREFIX)),
        ),
        reason=notes.get("reason", ""),
        error_class=notes.get("error-class", ""),
        attempts=_number(notes, "attempts"),
        trace_id=notes.get("trace-id", ""),
        rejected_ms=letter.timestamp_ms,
        partition=letter.partition,
        offset=letter.offset,
    )


def redrive(publisher: Publisher, letter: DeadLetter, topic: str) -> None:
    """Publish the original record to a topic again, under its own time; the caller flushes."""
    record = letter.record
    publisher.publish(topic, record.key, record.value, record.headers, record.timestamp_ms)


def mark(publisher: Publisher, topics: Topics, letter: DeadLetter) -> None:
    """Record that the letter was redriven; the caller flushes, after the record is durable."""
    record = letter.record
    publisher.publish(
        topics.dead_letter.name,
        record.key,
        None,
        [(MARK, record.source.encode())],
        partition=letter.partition,
    )


def _headers(record: Record, rejection: Rejection, attempts: int) -> list[tuple[str, bytes]]:
    notes = {
        "reason": rejection.reason[:MAX_REASON_CHARS],
        "error-class": rejection.error_class,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        "attempts": attempts,
        "trace-id": _trace_id(record),
    }
    # A letter that was redriven and rejected again carries no notes of the first rejection.
    own = [header for header in record.headers if not header[0].startswith(PREFIX)]
    return own + [
        (PREFIX + name, str(value).encode(errors="replace")) for name, value in notes.items()
    ]


def _trace_id(record: Record) -> str:
    """The trace id of the record's W3C `traceparent` (version-trace-parent-flags), or a new one."""
    parent = dict(record.headers).get(TRACE_PARENT, b"").decode(errors="replace").split("-")
    return parent[1] if len(parent) == 4 else uuid.uuid4().hex


def _number(notes: dict[str, str], name: str) -> int:
    try:
        return int(notes.get(name, ""))
    except ValueError:
        return 0
