"""A catalog folder or feed becomes catalog events, and what became of each row is reported.

Rows are read as the ingest worker reads them. One that it would refuse is not sent but named, with
its line and what to do, and the others go. The rest are sent as they are, pictures apart: what is
coerced is coerced by the worker, for all producers alike. What it coerces in pictures, which only
the worker looks at, is known from the outcomes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from models.catalog.coerce import coerce_event
from models.catalog.coercion import Coercion
from models.catalog.folder import RawRow, local_path
from models.errors import CatalogError
from stream.connection import MAX_MESSAGE_BYTES
from stream.data_uri import INLINE_BYTES, data_uri
from stream.errors import DecodeError
from stream.messages import Outcomes, ProductUpsert
from stream.publisher import Publisher
from workers.config.sections import IngestSettings
from workers.ingest.event_clock import EventClock, check_time
from workers.ingest.items import picture_references
from workers.ingest.read_event import read_fields
from workers.jobs.catalog_source import CatalogSource

SHOWN_REFUSALS = 100
RESERVED_BYTES = 100_000
"""Of a message, for its key and headers."""


@dataclass(frozen=True)
class CatalogRecord:
    """A row as a record of the catalog topic."""

    line: int
    key: str
    value: bytes
    coercions: tuple[Coercion, ...] = ()


@dataclass(frozen=True)
class RefusedRow:
    """A row that was refused, before it was sent or by the ingest worker, and why."""

    line: int
    reason: str
    error_class: str


OnRefused = Callable[[RefusedRow], None]


@dataclass
class Produced:
    """What became of a folder's rows.

    Each was sent or refused; what was sent is `waiting` until its outcome is known, by partition
    and offset.
    """

    sent: int = 0
    refused: int = 0
    applied: int = 0
    superseded: int = 0
    coerced: Counter[Coercion] = field(default_factory=Counter)
    refusals: list[RefusedRow] = field(default_factory=list)
    """The first hundred."""
    waiting: dict[tuple[int, int], int] = field(default_factory=dict)
    """The lines of the rows that were sent."""

    def refuse(self, row: RefusedRow) -> None:
        """Take note of a refused row."""
        self.refused += 1
        if len(self.refusals) < SHOWN_REFUSALS:
            self.refusals.append(row)

    def note(self, outcomes: Outcomes) -> None:
        """Take note of how records of the catalog topic ended; those of others are passed over."""
        here = outcomes.partition
        for kind in Coercion:  # a worker of a later version may know others
            for offset in outcomes.coerced.get(kind.value, ()):
                if (here, offset) in self.waiting:
                    self.coerced[kind] += 1
        self.applied += sum(1 for offset in outcomes.applied if self._end(here, offset))
        self.superseded += sum(1 for offset in outcomes.superseded if self._end(here, offset))
        for one in outcomes.refused:
            if line := self._end(here, one.offset):
                self.refuse(RefusedRow(line, one.reason, one.error_class))

    def _end(self, partition: int, offset: int) -> int | None:
        return self.waiting.pop((partition, offset), None)

    def json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "sent": self.sent,
            "applied": self.applied,
            "superseded": self.superseded,
            "refused": self.refused,
            "unknown": len(self.waiting),
            "coerced": {kind.value: count for kind, count in sorted(self.coerced.items())},
            "refusals": [asdict(row) for row in self.refusals],
        }


def catalog_events(
    source: CatalogSource,
    *,
    inline: bool = True,
    settings: IngestSettings | None = None,
    on_refused: OnRefused | None = None,
) -> Iterator[CatalogRecord]:
    """One record per row: an upsert, or what its `type` says.

    A local picture of up to 11 MB travels inside the event as a `data:` URI, so that the ingest
    worker needs no access to its folder; a larger one, or any with `inline=False`, as its path.
    `on_refused` gets the rows that the worker would refuse; without it the first is an error.

    Raises:
        CatalogError: there is no such file, or a row is refused.
    """
    settings = settings or IngestSettings()
    for row in source.read():
        try:
            yield _record(source, row, inline, settings)
        except (CatalogError, DecodeError) as error:
            if on_refused is None:
                raise CatalogError(f"{source.file}:{row.line}: {error}") from error
            on_refused(RefusedRow(row.line, str(error), type(error).__name__))


def produce_catalog(
    source: CatalogSource,
    publisher: Publisher,
    topic: str,
    *,
    inline: bool = True,
    settings: IngestSettings | None = None,
    on_sent: Callable[[int], None] = lambda _count: None,
) -> Produced:
    """Send the catalog and wait until the broker has all of it; refused rows are in the report.

    Raises:
        CatalogError: there is no such file.
        BrokerError: Kafka did not take all of it.
    """
    report = Produced()

    def delivered(line: int) -> Callable[[int, int], None]:
        return lambda partition, offset: report.waiting.update({(partition, offset): line})

    records = catalog_events(source, inline=inline, settings=settings, on_refused=report.refuse)
    for one in records:
        publisher.publish(topic, one.key, one.value, on_delivered=delivered(one.line))
        report.sent += 1
        report.coerced.update(one.coercions)
        on_sent(report.sent)
    publisher.flush()
    return report


def note_outcomes(reports: Sequence[Produced], topic: str, outcomes: Iterable[Outcomes]) -> None:
    """Read outcomes until all that was sent has one, or there are no more."""
    left = [one for one in reports if one.waiting]
    for outcome in outcomes if left else ():
        if outcome.topic == topic:
            for report in left:
                report.note(outcome)
            if not any(report.waiting for report in left):
                return


def picture_reference(folder: Path, reference: str, *, inline: int = INLINE_BYTES) -> str:
    """A reference that another process can use: URLs as they are, a file as its absolute path.

    A file of at most `inline` bytes becomes a `data:` URI.

    Raises:
        OSError: the file is there and cannot be read.
    """
    path = local_path(folder, reference)
    if path is None:
        return reference
    if path.is_file() and path.stat().st_size <= inline:
        return data_uri(path)
    return str(path)


def _record(
    source: CatalogSource, row: RawRow, inline: bool, settings: IngestSettings
) -> CatalogRecord:
    """Raises CatalogError or DecodeError for what the ingest worker would refuse."""
    if row.problem:
        raise CatalogError(row.problem)
    now_ms = time.time_ns() // 1_000_000
    fields = {"type": "upsert", "event_time": now_ms, **row.fields}
    coercions: tuple[Coercion, ...] = ()
    if source.mapped:
        coerced = coerce_event(fields)
        fields, coercions = coerced.fields, coerced.kinds
    read = read_fields(fields, strict=settings.strict)
    event = read.event
    if event.event_time is not None:
        clock = EventClock(event.version, event.event_time, has_own_time=True)
        check_time(clock, now_ms, round(1000 * settings.max_future_s))
    if isinstance(event, ProductUpsert):
        fields |= _pictures(source.folder, event, inline)
    value = orjson.dumps(fields)
    if len(value) > MAX_MESSAGE_BYTES - RESERVED_BYTES:
        raise CatalogError(
            f"the event has {len(value) / 1e6:.1f} MB, and {MAX_MESSAGE_BYTES / 1e6:.0f} MB fit a "
            "message: shorten its texts, or send pictures by reference"
        )
    return CatalogRecord(row.line, event.product_id, value, coercions or read.coercions)


def _pictures(folder: Path, event: ProductUpsert, inline: bool) -> dict[str, Any]:
    """The event's references as another process can use them."""
    # All pictures of the event together have to fit into one message.
    share = INLINE_BYTES // max(1, len(picture_references(event))) if inline else 0
    sent: dict[str, Any] = {}
    try:
        if event.image:
            sent["image"] = picture_reference(folder, event.image, inline=share)
        if event.images:
            sent["images"] = [picture_reference(folder, one, inline=share) for one in event.images]
    except OSError as error:
        raise CatalogError(
            f"picture {error.filename or ''} cannot be read: {error.strerror}"
        ) from error
    return sent
