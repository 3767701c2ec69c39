"""Where the records that are replayed come from: a span of a topic, or a file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from models.embedding.protocol import CatalogEncoder
    from models.progress import Phases
    from stream.records import Record
    from stream.span_reader import Span
    from workers.config.settings import Settings
    from workers.jobs.build import Replayed
    from workers.progress.tasks import Progress

SAVE_EVERY_S = 1.0


@dataclass(frozen=True)
class Reading:
    """Records to replay, and what to call with how far that is.

    `on_batch` takes the number read, after each batch; `phases` shows what is done at the end.
    """

    records: Iterator[Record]
    on_batch: Callable[[int], None]
    phases: Phases


def source(settings: Settings, span: Span, candidate: Settings, file: Path | None) -> Any:
    """What opens the records of topics, one after the other: from Kafka, or from a file."""
    from stream.connection import check_broker
    from stream.record_file import read_recording
    from stream.span_reader import SpanReader
    from workers.config.wiring import kafka_of
    from workers.jobs.generations import replay_group
    from workers.jobs.replay import of_topics

    @contextmanager
    def from_file(topics: Sequence[str], bars: Progress, what: str) -> Iterator[Reading]:
        kept = of_topics(read_recording(file or Path()), topics)
        records = (record for record in kept if span.includes(record))
        with bars.task(what) as task:
            yield Reading(records, task, bars.phases())

    @contextmanager
    def from_kafka(topics: Sequence[str], bars: Progress, what: str) -> Iterator[Reading]:
        kafka, saved = kafka_of(settings), time.monotonic()
        check_broker(kafka)
        group = replay_group(settings, candidate)
        with ExitStack() as stack:
            readers = [
                stack.enter_context(SpanReader(kafka, topic, span, group=group)) for topic in topics
            ]
            total = sum(reader.total for reader in readers)
            task = stack.enter_context(bars.task(what, total))

            def save() -> None:
                for reader in readers:
                    reader.save()

            def on_batch(count: int) -> None:
                nonlocal saved
                task(count, max(count, total))
                if time.monotonic() - saved > SAVE_EVERY_S:
                    save()
                    saved = time.monotonic()

            yield Reading(chain.from_iterable(readers), on_batch, bars.phases())
            save()

    return from_file if file else from_kafka


def apply_products(reading: Reading, candidate: Settings, encoder: CatalogEncoder) -> Replayed:
    """Apply the records to the catalog that these settings name."""
    from models.progress import of_phase
    from workers.jobs.replay import replay_products

    return asyncio.run(
        replay_products(
            reading.records,
            candidate,
            encoder,
            on_batch=reading.on_batch,
            on_repartition=of_phase(reading.phases, "repartitioning"),
            on_weighing=of_phase(reading.phases, "weighing the parts"),
        )
    )


Start = Annotated[
    str, typer.Option("--from", help="BEGINNING, an offset, a time (ISO 8601), or LAST.")
]


End = Annotated[str, typer.Option("--to", help="NOW, an offset, or a time; excluded.")]
