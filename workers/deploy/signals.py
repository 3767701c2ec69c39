"""What every worker process does alike: stop on a signal, say when it is ready."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import structlog

from workers.deploy.telemetry import serve_metrics

log = structlog.get_logger()


def stop_flag() -> Callable[[], bool]:
    """Says whether SIGTERM or SIGINT has come."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping.is_set


def when_ready(worker: str, port: int) -> Callable[[], None]:
    """What a worker calls once it has joined: metrics are served and the log says so."""

    def ready() -> None:
        serve_metrics(port)
        log.info("worker ready", worker=worker, pid=os.getpid())

    return ready
