"""What a worker reports: structured log lines, and Prometheus metrics on loopback."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from workers.deploy.preflight import Port, port_problem
from workers.errors import StackError
from workers.terminal.log_lines import rendered

EVENTS = Counter(
    "lookstream_events",
    "Events finished, by worker and state (applied, superseded, dead_lettered; partial ones are "
    "counted as applied too).",
    ["worker", "state"],
)
COERCED = Counter(
    "lookstream_coerced",
    "Events that were coerced, by worker and kind (docs/catalog-events.md).",
    ["worker", "kind"],
)
CLOCKS_DIFFER = Counter(
    "lookstream_clocks_differ",
    "Events superseded because a version met a time, or contradicted its own time.",
    ["worker"],
)
SECONDS = Histogram(
    "lookstream_stage_seconds",
    "Seconds one batch spent in one stage.",
    ["worker", "stage"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
FRESHNESS = Histogram(
    "lookstream_freshness_seconds",
    "Seconds from when an event was produced until a search could find what it changed, by worker; "
    "of events that were applied.",
    ["worker"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600),
)
IN_FLIGHT = Gauge(
    "lookstream_in_flight_records",
    "Records that were taken from Kafka and have not ended.",
    ["worker"],
)
PARKED = Gauge(
    "lookstream_parked_records",
    "Catalog events that wait for pictures, or behind one of the same product that does.",
)
LAG = Gauge(
    "lookstream_consumer_lag_records",
    "Records that a worker's group has not finished, by topic and partition.",
    ["worker", "topic", "partition"],
)
PICTURES = Counter(
    "lookstream_pictures",
    "Pictures asked for over http(s) or S3, by outcome (downloaded, not_modified, failed).",
    ["outcome"],
)
ENCODED = Counter(
    "lookstream_encoded",
    "Items that were encoded, by input: picture (with its words), or words (alone, or because only "
    "they changed).",
    ["input"],
)
TRUNCATED = Counter(
    "lookstream_truncated_pictures",
    "JPEG pictures that lack their last bytes, and were taken as they are.",
)
NOT_RERANKED = Counter(
    "lookstream_not_reranked",
    "Lists that keep retrieval's order because a reranker that looks at pictures was late, or "
    "failed.",
    ["why"],
)
WAITING_PICTURES = Gauge(
    "lookstream_pictures_waiting", "Pictures that wait for their turn at the host they come from."
)
HOST_REFUSALS = Counter(
    "lookstream_host_refusals",
    "Requests for pictures that a host put off (throttled) or that may work later (failed).",
    ["kind"],
)

# Both of structlog's own include local variables, and passwords are among those.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logging(level: str) -> None:
    """One line per event on standard error: JSON for machines, coloured on a terminal.

    The libraries' own log records (Faust, pymilvus) go through the same renderer.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[structlog.typing.Processor] = (
        rendered() if sys.stderr.isatty() else [_TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Libraries that report each request or each fetch at info.
    librdkafka = logging.getLogger("librdkafka")
    librdkafka.propagate = True
    for noisy in ("httpx", "httpcore", "pymilvus", "aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def serve_metrics(worker: str, port: int) -> None:
    """Serve Prometheus metrics on loopback at `port`; 0: not at all.

    Raises:
        StackError: another program has taken the port since the worker was started.
    """
    if port:
        try:
            start_http_server(port, addr="127.0.0.1")
        except OSError as error:
            wanted = Port(f"{worker}.metrics_port", port)
            raise StackError(port_problem(wanted) or f"{wanted}: {error.strerror}") from error


@contextmanager
def timed(worker: str, stage: str) -> Iterator[None]:
    """Record how long the block took."""
    start = perf_counter()
    try:
        yield
    finally:
        SECONDS.labels(worker, stage).observe(perf_counter() - start)
