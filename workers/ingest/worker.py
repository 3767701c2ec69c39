"""The ingest worker."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import structlog

from models.embedding.protocol import CatalogEncoder
from stream.connection import Kafka, check_broker
from stream.dead_letter import DeadLetters
from stream.delivery import BatchResult, Delivery, exit_unacked
from stream.errors import BrokerError
from stream.faust_app import make_app, raw_topic
from stream.faust_consumer import consume
from stream.stall_watchdog import watch_for_stall
from workers.catalog_index import CatalogIndex
from workers.config.load_models import encoder_of
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.telemetry import EVENTS, serve_metrics
from workers.errors import WorkerError
from workers.index_maintenance import (
    PURGE_EVERY_S,
    REPARTITION_EVERY_S,
    Repartitioning,
    maintain,
    purge_tombstones,
)
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher

log = structlog.get_logger()

# How long a worker may take to leave after SIGTERM, its last batch included.
LEAVE_S = 5.0
# Between two looks for a broker that is away.
LOOK_S = 1.0


def run_ingest(
    settings: Settings,
    encoder: CatalogEncoder | None = None,
    on_batch_result: Callable[[BatchResult], None] = lambda _tally: None,
) -> None:
    """Consume the catalog topic until a signal comes; by default with the settings' encoder.

    `on_batch_result` hears how the records of each batch ended.
    """
    asyncio.run(_ingest(settings, encoder or encoder_of(settings), on_batch_result))


async def _ingest(
    settings: Settings, encoder: CatalogEncoder, on_batch_result: Callable[[BatchResult], None]
) -> None:
    kafka, topics, ingest = kafka_of(settings), topics_of(settings), settings.ingest
    app = make_app(kafka, settings.group("ingest"), datadir=settings.data_dir / "faust")

    def mine() -> set[int]:
        return {place.partition for place in app.consumer.assignment()}

    index = CatalogIndex(settings, encoder.model_id)
    settled = asyncio.Event()  # from an assignment until the next revocation

    async def assigned() -> None:
        await asyncio.to_thread(index.close)
        settled.set()

    async def revoked() -> None:
        settled.clear()
        await asyncio.to_thread(index.close)

    def alone() -> bool:
        return settled.is_set() and len(mine()) == topics.catalog.partitions

    async with open_fetcher(settings.intake) as fetcher:
        steps = Ingest(fetcher, encoder, index)
        delivery = Delivery(steps.prepare, steps.write, DeadLetters(kafka, topics))

        def count(result: BatchResult) -> None:
            for state in ("applied", "superseded", "dead_lettered"):
                EVENTS.labels("ingest", state).inc(getattr(result, state))
            on_batch_result(result)

        async def catalog(stream: Any) -> None:
            await consume(
                stream,
                delivery,
                max_batch=ingest.batch,
                within_s=ingest.within_s,
                on_batch_result=count,
                on_assigned=assigned,
                on_revoked=revoked,
            )

        app.agent(raw_topic(app, topics.catalog), name="catalog", concurrency=1)(catalog)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await _broker_there(kafka, stop)
        if stop.is_set():
            return
        await app.start()
        watching = asyncio.create_task(
            watch_for_stall(
                kafka, settings.group("ingest"), topics.catalog.name, delivery, assigned=mine
            )
        )
        maintenance = [
            asyncio.create_task(maintain(job, delivery, every_s=every_s))
            for job, every_s in _maintenance(settings, index, alone)
        ]
        serve_metrics(ingest.metrics_port)
        log.info("ingest worker ready", topic=topics.catalog.name, model=encoder.model_id)
        ended = asyncio.create_task(app.wait_until_stopped())
        await asyncio.wait(
            [ended, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        if not stop.is_set():
            raise WorkerError(f"the Faust app stopped by itself: {app.crash_reason}")
        watching.cancel()
        for task in maintenance:
            task.cancel()
        # Not wait_for: Faust swallows the cancellation and goes on waiting.
        leaving = asyncio.create_task(app.stop())
        if not (await asyncio.wait([leaving], timeout=LEAVE_S))[0]:
            # No broker, or in the middle of joining. What is not acked comes again.
            log.warning("could not leave the consumer group in time")
            exit_unacked()
        await leaving
        await asyncio.to_thread(index.close)


def _maintenance(
    settings: Settings, index: CatalogIndex, alone: Callable[[], bool]
) -> Iterator[tuple[Callable[[], object], float]]:
    """What is done to the index beside the batches, and every how many seconds."""
    yield lambda: purge_tombstones(index, settings.ingest.remember_deletes_s), PURGE_EVERY_S
    if settings.milvus.repartition:
        yield Repartitioning(index, alone).check, REPARTITION_EVERY_S


async def _broker_there(kafka: Kafka, stop: asyncio.Event) -> None:
    """Return when the broker answers, or when told to stop: Faust would give up at once."""
    while not stop.is_set():
        try:
            await asyncio.to_thread(check_broker, kafka, 2.0)
        except BrokerError as error:
            log.warning("waiting for the broker", why=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)
        else:
            return
