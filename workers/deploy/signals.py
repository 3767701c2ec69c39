"""Start and end of every worker process: it stops on a signal, and reports when it is ready."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import structlog

from workers.deploy.telemetry import serve_metrics

log = structlog.get_logger()


def stop_flag() -> Callable[[], bool]:
    """A function that returns whether SIGTERM or SIGINT was received."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping.is_set


def when_ready(worker: str, port: int) -> Callable[[], None]:
    """A function for a worker to call once it consumes: it serves metrics and logs a line."""

    def ready() -> None:
        serve_metrics(worker, port)
        log.info("worker ready", worker=worker, pid=os.getpid())

    return ready
