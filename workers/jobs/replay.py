"""Replaying records of a topic or a file through the workers' own steps, into a separate index.

Products go through *prepare* and *write* of the ingest worker, queries through the pipeline of the
query worker. Nothing is sent to any topic: refused records are in the report, and results go to the
caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from time import perf_counter

from models.embedding.protocol import CatalogEncoder
from models.progress import Progress, no_progress
from models.reranking.protocol import ListReranker
from stream.messages import Result
from stream.records import Record
from workers.catalog_index import CatalogIndex
from workers.config.settings import Settings
from workers.evidence.adapted import AdaptedFile
from workers.evidence.calibrated import CalibratedFile
from workers.evidence.fitted import FittedFile
from workers.intake.fetch import open_fetcher
from workers.jobs.build import OnBatch, Replayed, open_builder
from workers.query.candidate_pictures import CandidatePictures
from workers.query.steps import QueryPipeline


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
    began = perf_counter()
    async with open_builder(settings, encoder) as builder:
        await builder.apply(records, on_batch)
        await builder.finish(on_repartition, on_weighing)
    builder.report.seconds = perf_counter() - began
    return builder.report


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
    calibrated = CalibratedFile(settings, encoder.model_id)
    try:
        async with open_fetcher(settings.intake) as fetcher:
            pictures = CandidatePictures(fetcher, settings.query.picture_cache_mb * 1_000_000)
            pipeline = QueryPipeline(
                fetcher,
                encoder,
                reranker,
                index,
                settings.query,
                fitted,
                adapted,
                pictures,
                calibrated,
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
