"""Applying catalog records to a catalog as the ingest worker does, and following their topics.

Nothing is sent to any topic: what is refused is in the report.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from models.embedding.protocol import CatalogEncoder
from models.progress import Progress, no_progress
from stream.connection import PROMPT_FETCH_WAIT_MS
from stream.delivery import Delivery, Rejection, State
from stream.records import Record
from stream.span_reader import Edge, Span, SpanReader
from workers.catalog_index import CatalogIndex
from workers.config.settings import Settings
from workers.config.wiring import catalog_topics, kafka_of
from workers.evidence.calibrate import Calibrating, calibrating_of
from workers.evidence.predicted_attributes import attribute_predictor_of
from workers.evidence.weigh import Weighing, weighing_of
from workers.index_maintenance import Repartitioning
from workers.ingest.last_write_wins import Change
from workers.ingest.missing import PARTIAL
from workers.ingest.read_event import reader_of
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher

SHOWN_REFUSALS = 100

OnBatch = Callable[[int], None]


@dataclass
class Replayed:
    """How the records ended: `applied` + `superseded` + `refused` = `read`.

    `partial` of the applied ones lack pictures.
    """

    read: int = 0
    applied: int = 0
    superseded: int = 0
    refused: int = 0
    partial: int = 0
    seconds: float = 0.0
    classes: Counter[str] = field(default_factory=Counter)
    """Refusals by error class, with those of parts."""
    refusals: list[dict[str, Any]] = field(default_factory=list)
    """The first hundred of them: source, error_class, reason."""

    def refuse(self, record: Record, rejection: Rejection) -> None:
        """Count a record that was refused, or of which a part was."""
        if rejection.error_class == PARTIAL:
            self.partial += 1
        else:
            self.refused += 1
        self.classes[rejection.error_class] += 1
        if len(self.refusals) < SHOWN_REFUSALS:
            why = {"error_class": rejection.error_class, "reason": rejection.reason}
            self.refusals.append({"source": record.source, **why})

    def json(self) -> dict[str, Any]:
        """The report for machines."""
        return {
            "read": self.read,
            "applied": self.applied,
            "superseded": self.superseded,
            "refused": self.refused,
            "partial": self.partial,
            "seconds": round(self.seconds, 3),
            "refused_by_class": dict(self.classes),
            "refusals": self.refusals,
        }


class Builder:
    """Applies records, batch by batch, to the catalog that settings name; see `open_builder`.

    `report` says how they ended so far.
    """

    def __init__(
        self,
        settings: Settings,
        steps: Ingest,
        index: CatalogIndex,
        weighing: Weighing | None,
        calibrating: Calibrating | None = None,
    ) -> None:
        self.report = Replayed()
        self.index = index
        self._settings = settings
        self._steps = steps
        self._weighing = weighing
        self._calibrating = calibrating
        self._until: float | None = None
        self._delivery: Delivery[Change] = Delivery(self._prepare, steps.write, self._refused)

    async def apply(self, records: Iterator[Record], on_batch: OnBatch) -> None:
        """Apply records; `on_batch` is called with how many were read once those are durable."""
        while batch := await self.take(records):
            await self.deliver(batch)
            on_batch(self.report.read)

    async def take(self, records: Iterator[Record]) -> list[Record]:
        """The next batch of records; [] where there are no more."""
        return await asyncio.to_thread(_take, records, self._settings.ingest.batch)

    async def deliver(self, batch: Sequence[Record], until: float | None = None) -> None:
        """Apply one batch.

        Args:
            batch: the records.
            until: when to give up unless writing has begun, in the event loop's time.

        Raises:
            TimeoutError: it was not ready by then; nothing of it was written.
        """
        self._until = until
        result = await self._delivery.deliver(batch)
        self.report.read += len(batch)
        self.report.applied += result.applied
        self.report.superseded += result.superseded

    async def finish(
        self, on_repartition: Progress = no_progress, on_weighing: Progress = no_progress
    ) -> None:
        """After many records: enough prototypes, and weights and a calibration of its own."""
        self.index.flush()
        if self._settings.milvus.repartition:
            # Its first bank was made of its first batch, and nobody searches here yet.
            repartitioning = Repartitioning(self.index, grace_s=0, on_progress=on_repartition)
            await asyncio.to_thread(repartitioning.check)
        if self._weighing:
            await asyncio.to_thread(self._weighing.check, on_weighing)
        if self._calibrating:
            await asyncio.to_thread(self._calibrating.check)

    async def _prepare(self, records: Sequence[Record]) -> list[Change | State | Rejection]:
        async with asyncio.timeout_at(self._until):
            return await self._steps.prepare(records)

    async def _refused(self, record: Record, rejection: Rejection, _attempts: int) -> None:
        self.report.refuse(record, rejection)


@asynccontextmanager
async def open_builder(settings: Settings, encoder: CatalogEncoder) -> AsyncIterator[Builder]:
    """A builder of the catalog that these settings name."""
    index = CatalogIndex(settings, encoder.model_id)
    weighing = weighing_of(settings, index, encoder)
    calibrating = calibrating_of(settings, weighing.sample, index, encoder) if weighing else None
    try:
        async with open_fetcher(settings.intake) as fetcher:
            steps = Ingest(
                fetcher,
                encoder,
                index,
                settings.ingest,
                sample=weighing.sample if weighing else None,
                reader=reader_of(settings),
                own=attribute_predictor_of(settings, encoder),
            )
            yield Builder(settings, steps, index, weighing, calibrating)
    finally:
        index.close()
        if weighing:
            weighing.sample.close()


class Follower:
    """Keeps a catalog at the end of the catalog topics, from where it was replayed to."""

    def __init__(self, builder: Builder, readers: Sequence[SpanReader]) -> None:
        self._builder = builder
        self._readers = readers

    async def catch_up(self, within_s: float | None = None) -> int:
        """Apply what the topics have by now; how many records.

        Raises:
            TimeoutError: they were not applied within so many seconds; the next call goes on.
        """
        loop, before = asyncio.get_running_loop(), self._builder.report.read
        until = None if within_s is None else loop.time() + within_s
        for reader in self._readers:
            records = reader.further()
            applied = dict(reader.positions)
            try:
                while batch := await self._builder.take(records):
                    if until is not None and loop.time() > until:
                        raise TimeoutError
                    await self._builder.deliver(batch, until)
                    applied = dict(reader.positions)
            except BaseException:
                reader.positions = applied
                raise
            reader.save()
        return self._builder.report.read - before

    def warm(self) -> None:
        """Read what the next write needs."""
        self._builder.index.warm_writing()


@asynccontextmanager
async def open_follower(
    settings: Settings, candidate: Settings, encoder: CatalogEncoder, group: str
) -> AsyncIterator[Follower]:
    """What keeps a generation up to date, from the position that a group has saved.

    Args:
        settings: of the live catalog, whose topics are read.
        candidate: of the generation.
        encoder: of its model.
        group: the name that its position is saved under.
    """
    kafka, span = kafka_of(settings), Span(Edge.LAST)
    async with open_builder(candidate, encoder) as builder:
        with ExitStack() as stack:
            readers = [
                stack.enter_context(
                    SpanReader(kafka, topic, span, group=group, fetch_wait_ms=PROMPT_FETCH_WAIT_MS)
                )
                for topic in catalog_topics(settings)
            ]
            yield Follower(builder, readers)


def _take(records: Iterator[Record], most: int) -> list[Record]:
    return list(islice(records, most))
