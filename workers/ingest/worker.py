"""The ingest worker: a Faust app that consumes the catalog topic, and what runs beside it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog

from index.errors import ModelMismatch
from models.embedding.protocol import CatalogEncoder
from stream.connection import Kafka, check_broker
from stream.dead_letter import DeadLetters
from stream.delivery import BatchResult, Delivery, State, exit_unacked
from stream.errors import BrokerError, Transient
from stream.faust_app import make_app, raw_topic
from stream.faust_consumer import Limits, Prefetch, consume
from stream.outcomes import OutcomeWriter
from stream.stall_watchdog import watch_for_stall
from stream.topics import Place, all_partitions
from workers.catalog_index import CatalogIndex
from workers.config.load_models import encoder_of, model_id_of
from workers.config.sections import IngestSettings
from workers.config.settings import Settings
from workers.config.wiring import catalog_topics, kafka_of, topics_of
from workers.deploy.lag import report_lag
from workers.deploy.signals import WAIT_FOR_INDEX_S, exit_for_settings
from workers.deploy.telemetry import EVENTS, FRESHNESS, PARKED, serve_metrics
from workers.errors import WorkerError
from workers.evidence.adapt import ADAPT_EVERY_S, Adapting, adapting_of
from workers.evidence.calibrate import CALIBRATE_EVERY_S, Calibrating, calibrating_of
from workers.evidence.predicted_attributes import attribute_predictor_of
from workers.evidence.weigh import WEIGH_EVERY_S, Weighing, weighing_of
from workers.index_maintenance import (
    PURGE_EVERY_S,
    REPARTITION_EVERY_S,
    Repartitioning,
    maintain,
    purge_tombstones,
    wait_for_batch,
)
from workers.ingest.read_event import reader_of
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher
from workers.model_fit import check_model

log = structlog.get_logger()

# How long a worker may take to leave its group after SIGTERM, its last batch included.
LEAVE_TIMEOUT_S = 5.0
# How often a broker that does not answer is tried.
BROKER_POLL_S = 1.0
# How often to look whether another generation is live; a write looks for itself.
LOOK_EVERY_S = 2.0

T = TypeVar("T")
R = TypeVar("R")
OnBatchResult = Callable[[BatchResult], None]


def run_ingest(
    settings: Settings,
    encoder: CatalogEncoder | None = None,
    on_batch_result: OnBatchResult = lambda _result: None,
) -> bool:
    """Consume the catalog topic until a signal comes; by default with the settings' encoder.

    `on_batch_result` is called with how the records of each batch ended.

    Returns:
        Whether it ended because an index of another encoder has taken the place of its own, and
        the settings name that one now: then it is to be started again.
    """
    follows = encoder is None
    return asyncio.run(
        _ingest(settings, encoder or encoder_of(settings), on_batch_result, follows=follows)
    )


async def _ingest(
    settings: Settings,
    encoder: CatalogEncoder,
    on_batch_result: OnBatchResult,
    *,
    follows: bool,
) -> bool:
    kafka, topics = kafka_of(settings), topics_of(settings)
    sources = catalog_topics(settings)
    await asyncio.to_thread(check_model, settings, encoder.model_id, WAIT_FOR_INDEX_S)
    app = make_app(kafka, settings.group("ingest"), datadir=settings.data_dir / "faust")
    index = CatalogIndex(settings, encoder.model_id)
    assignment = _Assignment(app, index, topics.catalog.name)
    stop = _stop_event()
    succession = _Succession(settings, encoder.model_id, stop, follows=follows)
    outcomes = OutcomeWriter(kafka, topics)
    on_batch_result = _writing_outcomes(outcomes, on_batch_result)
    async with open_fetcher(settings.intake) as fetcher:
        weighing = weighing_of(settings, index, encoder)
        sample = weighing.sample if weighing else None
        adapting = adapting_of(settings, sample, index, encoder) if sample else None
        calibrating = calibrating_of(settings, sample, index, encoder) if sample else None
        steps = Ingest(
            fetcher,
            encoder,
            index,
            settings.ingest,
            sample=sample,
            reader=reader_of(settings),
            own=attribute_predictor_of(settings, encoder),
        )
        delivery = Delivery(
            succession.of_our_model(steps.prepare),
            succession.of_our_model(steps.write),
            DeadLetters(kafka, topics),
        )
        _add_agent(app, sources, settings.ingest, delivery, steps, assignment, on_batch_result)
        await _wait_for_broker(kafka, stop)
        if stop.is_set():
            return False
        assignment.every = await asyncio.to_thread(all_partitions, kafka, sources)
        await app.start()
        beside = [
            *(
                watch_for_stall(
                    kafka,
                    settings.group("ingest"),
                    topic,
                    delivery,
                    assigned=partial(assignment.partitions, topic),
                )
                for topic in sources
            ),
            *(
                maintain(job, delivery, every_s=every_s)
                for job, every_s in _maintenance(
                    settings,
                    index,
                    assignment,
                    weighing,
                    delivery,
                    succession,
                    adapting,
                    calibrating,
                )
            ),
        ]
        tasks = [asyncio.create_task(one) for one in beside]
        serve_metrics("ingest", settings.ingest.metrics_port)
        report_lag(settings, "ingest")
        log.info("ingest worker ready", topics=sources, model=encoder.model_id)
        await _run_until_stopped(app, stop)
        for task in tasks:
            task.cancel()
        await _leave_group(app)
        await asyncio.to_thread(outcomes.close)
        await asyncio.to_thread(index.close)
        if sample:
            sample.close()
    return succession.begun


def _writing_outcomes(outcomes: OutcomeWriter, on_batch_result: OnBatchResult) -> OnBatchResult:
    def write(result: BatchResult) -> None:
        outcomes.write(result.ended)
        on_batch_result(result)

    return write


def observe_freshness(result: BatchResult, now_s: float) -> None:
    """Tell how old the events of a batch were when what they changed could be found.

    They are written when their batch ends; a search that begins then sees them (on a Milvus server
    with the consistency Bounded, one a moment later).
    """
    for one in result.ended:
        if one.end is State.APPLIED:
            FRESHNESS.labels("ingest").observe(max(0.0, now_s - one.timestamp_ms / 1000))


class _Succession:
    """What to do when an index of another encoder has taken the place of ours.

    The worker leaves its group with nothing acked that is not written, and begins again with the
    encoder that the settings name by then; where that is still ours, it ends and says so.
    """

    def __init__(
        self, settings: Settings, model_id: str, stop: asyncio.Event, *, follows: bool
    ) -> None:
        self._settings = settings
        self._model_id = model_id
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._follows = follows
        self.begun = False

    def of_our_model(self, step: Callable[[T], Awaitable[R]]) -> Callable[[T], Awaitable[R]]:
        """The step, tried again until the worker leaves if the index is of another model."""

        async def run(batch: T) -> R:
            try:
                return await step(batch)
            except ModelMismatch as error:
                await asyncio.to_thread(self._begin, error)
                raise Transient(str(error)) from error

        return run

    def look(self, index: CatalogIndex) -> None:
        """Go on with the generation that is live now, before there is something to write."""
        try:
            with index.writing():
                pass
            index.warm_writing()
        except ModelMismatch as error:
            self._begin(error)

    def _begin(self, error: ModelMismatch) -> None:
        if not self._follows or model_id_of(self._settings) == self._model_id:
            exit_for_settings(error)
        if not self.begun:
            log.info("beginning again with another encoder", why=str(error))
        self.begun = True
        self._loop.call_soon_threadsafe(self._stop.set)


class _Assignment:
    """The partitions that this worker has; the index is closed whenever they change.

    What the index has cached may be stale after that: another worker may have written.
    """

    def __init__(self, app: Any, index: CatalogIndex, own: str) -> None:
        self._app = app
        self._index = index
        self._own = own
        self.every: frozenset[Place] = frozenset()
        """All partitions of the topics that are read."""
        self._settled = False  # from an assignment until the next revocation

    def partitions(self, topic: str) -> set[int]:
        """Those of a topic that are assigned now."""
        return {number for name, number in self._places() if name == topic}

    def alone(self) -> bool:
        """Whether no other worker writes to this catalog."""
        return self._settled and self._places() >= self.every

    def leads(self) -> bool:
        """Whether this worker does what one of them does for all."""
        return self._settled and 0 in self.partitions(self._own)

    def _places(self) -> set[Place]:
        return {(place.topic, place.partition) for place in self._app.consumer.assignment()}

    async def on_assigned(self) -> None:
        """Before the first record of a new assignment."""
        await asyncio.to_thread(self._index.close)
        self._settled = True

    async def on_revoked(self) -> None:
        """After the last batch of the old assignment."""
        self._settled = False
        await asyncio.to_thread(self._index.close)


def _add_agent(
    app: Any,
    topics: Sequence[str],
    settings: IngestSettings,
    delivery: Delivery[Any],
    prefetch: Prefetch,
    assignment: _Assignment,
    on_batch_result: OnBatchResult,
) -> None:
    """Have the app consume the topics through `delivery`, one batch at a time."""
    PARKED.set_function(lambda: delivery.parked)
    limits = Limits(
        max_batch=settings.batch, within_s=settings.within_s, max_parked=settings.parked
    )

    def count(result: BatchResult) -> None:
        observe_freshness(result, time.time())
        for state in ("applied", "superseded", "dead_lettered", "partial"):
            EVENTS.labels("ingest", state).inc(getattr(result, state))
        on_batch_result(result)

    async def catalog(stream: Any) -> None:
        await consume(
            stream,
            delivery,
            limits=limits,
            prefetch=prefetch,
            on_batch_result=count,
            on_assigned=assignment.on_assigned,
            on_revoked=assignment.on_revoked,
        )

    app.agent(raw_topic(app, *topics), name="catalog", concurrency=1)(catalog)


def _maintenance(
    settings: Settings,
    index: CatalogIndex,
    assignment: _Assignment,
    weighing: Weighing | None,
    delivery: Delivery[Any],
    succession: _Succession,
    adapting: Adapting | None = None,
    calibrating: Calibrating | None = None,
) -> Iterator[tuple[Callable[[], object], float]]:
    """What is done to the index beside the batches, and every how many seconds."""
    yield lambda: succession.look(index), LOOK_EVERY_S
    yield lambda: purge_tombstones(index, settings.ingest.remember_deletes_s), PURGE_EVERY_S
    if settings.milvus.repartition:
        yield Repartitioning(index, assignment.alone).check, REPARTITION_EVERY_S
    if weighing:
        pause = partial(wait_for_batch, delivery)
        yield lambda: assignment.leads() and weighing.check(pause=pause), WEIGH_EVERY_S
        if adapting:
            yield lambda: assignment.leads() and adapting.check(pause=pause), ADAPT_EVERY_S
        if calibrating:
            yield lambda: assignment.leads() and calibrating.check(pause=pause), CALIBRATE_EVERY_S


def _stop_event() -> asyncio.Event:
    """Set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _wait_for_broker(kafka: Kafka, stop: asyncio.Event) -> None:
    """Return when the broker answers, or when told to stop: Faust would give up at once."""
    while not stop.is_set():
        try:
            await asyncio.to_thread(check_broker, kafka, 2.0)
        except BrokerError as error:
            log.warning("waiting for the broker", why=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), BROKER_POLL_S)
        else:
            return


async def _run_until_stopped(app: Any, stop: asyncio.Event) -> None:
    """Raises WorkerError if the app ends without having been told to."""
    ended = asyncio.create_task(app.wait_until_stopped())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        raise WorkerError(f"the Faust app stopped by itself: {app.crash_reason}")


async def _leave_group(app: Any) -> None:
    """Stop the app; if that takes too long, exit. What is not acked is delivered again."""
    # Not wait_for: Faust swallows the cancellation and goes on waiting.
    leaving = asyncio.create_task(app.stop())
    if not (await asyncio.wait([leaving], timeout=LEAVE_TIMEOUT_S))[0]:
        # No broker, or in the middle of joining.
        log.warning("could not leave the consumer group in time")
        exit_unacked()
    await leaving
