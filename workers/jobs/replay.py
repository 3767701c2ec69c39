"""Replaying records of a topic or a file through the workers' own steps, into a separate index.

Products go through *prepare* and *write* of the ingest worker, queries through the pipeline of the
query worker. Nothing is sent to any topic: refused records are in the report, and results go to the
caller.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter
from typing import Any

from models.embedding.protocol import CatalogEncoder
from models.progress import Progress, no_progress
from models.reranking.protocol import ListReranker
from stream.delivery import BatchResult, Delivery, Rejection
from stream.messages import Result
from stream.records import Record
from workers.catalog_index import CatalogIndex
from workers.config.settings import Settings
from workers.evidence.adapted import AdaptedFile
from workers.evidence.fitted import FittedFile
from workers.evidence.weigh import weighing_of
from workers.index_maintenance import Repartitioning
from workers.ingest.missing import PARTIAL
from workers.ingest.read_event import reader_of
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher
from workers.query.steps import QueryPipeline

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


async def replay_products(
    records: Iterator[Record],
    settings: Settings,
    encoder: CatalogEncoder,
    *,
    on_batch: OnBatch = lambda _count: None,
    on_repartition: Progress = no_progress,
    on_weighing: Progress = no_progress,
) -> Replayed:
    """Apply catalog records, in their order, to the index of `settings`.

    `on_batch` is called with how many records were read once those are durable, `on_repartition`
    with the rows copied and their number where the catalog needs more prototypes at the end,
    `on_weighing` with the views encoded and their number where it is time to weigh its parts.
    Raises what ends an ingest worker: records that `on_batch` did not hear of must be replayed
    again.
    """
    report, began = Replayed(), perf_counter()
    index = CatalogIndex(settings, encoder.model_id)
    weighing = weighing_of(settings, index, encoder)

    async def refused(record: Record, rejection: Rejection, _attempts: int) -> None:
        report.refuse(record, rejection)

    try:
        async with open_fetcher(settings.intake) as fetcher:
            steps = Ingest(
                fetcher,
                encoder,
                index,
                settings.ingest,
                sample=weighing.sample if weighing else None,
                reader=reader_of(settings),
            )
            delivery = Delivery(steps.prepare, steps.write, refused)
            while batch := await asyncio.to_thread(_take, records, settings.ingest.batch):
                result: BatchResult = await delivery.deliver(batch)
                report.read += len(batch)
                report.applied += result.applied
                report.superseded += result.superseded
                on_batch(report.read)
        index.flush()
        if settings.milvus.repartition:
            # Its first bank was made of its first batch, and nobody searches here yet.
            repartitioning = Repartitioning(index, grace_s=0, on_progress=on_repartition)
            await asyncio.to_thread(repartitioning.check)
        if weighing:
            await asyncio.to_thread(weighing.check, on_weighing)
    finally:
        index.close()
        if weighing:
            weighing.sample.close()
    report.seconds = perf_counter() - began
    return report


async def replay_queries(
    records: Iterator[Record],
    settings: Settings,
    encoder: CatalogEncoder,
    reranker: ListReranker,
    *,
    on_result: Callable[[Result], None] = lambda _result: None,
    on_batch: OnBatch = lambda _count: None,
) -> Replayed:
    """Answer query records from the index of `settings`; `on_result` gets the answers in order."""
    report, began = Replayed(), perf_counter()
    index = CatalogIndex(settings, encoder.model_id)
    fitted = FittedFile(settings, encoder.model_id)
    adapted = AdaptedFile(settings, encoder.model_id)
    try:
        async with open_fetcher(settings.intake) as fetcher:
            pipeline = QueryPipeline(
                fetcher, encoder, reranker, index, settings.query, fitted, adapted
            )
            while batch := await asyncio.to_thread(_take, records, settings.query.batch):
                for record, answer in zip(batch, await pipeline.answer(batch), strict=True):
                    if isinstance(answer, Result):
                        report.applied += 1
                        on_result(answer)
                    else:
                        report.refuse(record, answer.rejection)
                report.read += len(batch)
                on_batch(report.read)
    finally:
        index.close()
    report.seconds = perf_counter() - began
    return report


def of_topics(records: Iterator[Record], topics: Sequence[str]) -> Iterator[Record]:
    """The records of some kinds of topics (the last part of a name), whatever deployment's."""
    kinds = {topic.rpartition(".")[2] for topic in topics}
    return (record for record in records if record.topic.rpartition(".")[2] in kinds)


def _take(records: Iterator[Record], most: int) -> list[Record]:
    return list(islice(records, most))
