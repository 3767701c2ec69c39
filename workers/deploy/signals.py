"""Start and end of every worker process: it stops on a signal, and reports when it is ready.

One that cannot run with its settings, now or after a restart, ends with the status `EXIT_SETTINGS`
and a last line `error: …`; whoever started it shows that line and starts no other.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

import structlog

from workers.config.settings import Settings
from workers.deploy.lag import report_lag
from workers.deploy.telemetry import serve_metrics
from workers.terminal.printable import printable

log = structlog.get_logger()

EXIT_SETTINGS = 78
"""EX_CONFIG of sysexits.h."""
ERROR = "error: "
WAIT_FOR_INDEX_S = 60.0
"""How long a worker that starts waits for Milvus to say which model made the index."""


def exit_for_settings(error: Exception) -> NoReturn:
    """End the process at once, with nothing acked: no restart would help."""
    logging.shutdown()
    sys.stderr.write(f"{ERROR}{printable(str(error))}\n")
    sys.stderr.flush()
    os._exit(EXIT_SETTINGS)


def begin_again() -> NoReturn:
    """Start this process anew with its arguments and environment; its id stays the same."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  our own command


def stop_flag() -> Callable[[], bool]:
    """A function that returns whether SIGTERM or SIGINT was received."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping.is_set


def when_ready(worker: str, settings: Settings) -> Callable[[], None]:
    """A function for a worker to call once it consumes: it serves metrics and logs a line."""
    port = getattr(settings, worker).metrics_port

    def ready() -> None:
        serve_metrics(worker, port)
        report_lag(settings, worker)
        log.info("worker ready", worker=worker, pid=os.getpid())

    return ready
