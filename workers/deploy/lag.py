"""Consumer lag of the workers' groups: as a metric of each worker, for `lag` and for `doctor`."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import structlog

from stream.errors import BrokerError
from stream.lag import LagReader, PartitionLag
from workers.config.settings import Settings
from workers.config.wiring import catalog_topics, kafka_of, topics_of
from workers.deploy.telemetry import LAG

log = structlog.get_logger()

EVERY_S = 15.0
"""How often a worker reads its group's lag; Prometheus scrapes about as often."""
WORKERS = ("ingest", "query", "feedback")


def consumed_topics(settings: Settings, worker: str) -> tuple[str, ...]:
    """The names of the topics that a worker's group consumes."""
    topics = topics_of(settings)
    names = {
        "ingest": catalog_topics(settings),
        "query": (topics.query.name,),
        "feedback": (topics.impression.name, topics.click.name),
    }
    return names[worker]


def group_lag(settings: Settings, worker: str) -> list[PartitionLag]:
    """The lag of a worker's group now, by topic and partition; raises `BrokerError`."""
    with open_reader(settings, worker) as reader:
        return reader.read()


def open_reader(settings: Settings, worker: str) -> LagReader:
    """What reads the lag of a worker's group."""
    topics = consumed_topics(settings, worker)
    return LagReader(kafka_of(settings), settings.group(worker), topics)


def report_lag(settings: Settings, worker: str) -> None:
    """Keep the metric of a worker's group up to date, in a thread that ends with the process.

    Without a metrics port nobody would read it, and nothing is done.
    """

    def run() -> None:
        with open_reader(settings, worker) as reader:
            while True:
                update_metric(worker, reader)
                waiting.wait(EVERY_S)

    if not getattr(settings, worker).metrics_port:
        return
    waiting = threading.Event()
    threading.Thread(target=run, name="lag", daemon=True).start()


def update_metric(worker: str, reader: LagReader) -> None:
    """Read the lag once; where Kafka does not answer, the metric is absent and not old."""
    LAG.clear()
    try:
        lags = reader.read()
    except BrokerError as error:
        log.debug("no lag", why=str(error))
        return
    for one in lags:
        LAG.labels(worker, one.topic, str(one.partition)).set(one.lag)


def behind(lags: Sequence[PartitionLag]) -> int:
    """Records in all."""
    return sum(one.lag for one in lags)
