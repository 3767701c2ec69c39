"""Everything that `lookstream up` runs, started in order, kept alive, and ended in order.

The broker and Milvus Lite (where embedded), then the workers, each a process of its own that dies
with this one. A worker that ends is started again, a little later each time; one that can't stay
up ends the whole stack with the tail of its log.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from index.milvus import lite_process
from stream.child_process import python_module, spawn, stop
from stream.embedded_broker import EmbeddedBroker
from stream.topics import create_topics
from workers.config.settings import Settings, settings_environment
from workers.config.wiring import kafka_of, topics_of
from workers.errors import StackError

WORKERS = ("ingest", "query", "feedback")
# Waits before the first, second, … restart of a worker; one more failure in a row is the end.
RESTART_WAITS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
# A worker that has been up this long starts again with the shortest wait.
SETTLED_S = 60.0
# Long enough to finish a batch and to leave the consumer group.
GRACE_S = 10.0
START_TIMEOUT_S = 120.0

Report = Callable[[str], None]


@dataclass
class _Worker:
    """One worker process and its history of restarts."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    started: float
    failures: int = 0
    restart_at: float | None = None


@dataclass
class Stack:
    """The running processes; use it as a context manager, from the main thread.

    `report` is told what happens, one short line at a time.
    """

    settings: Settings
    workers: Sequence[str] = WORKERS
    report: Report = lambda _line: None
    _broker: EmbeddedBroker | None = None
    _milvus: subprocess.Popen[bytes] | None = None
    _running: dict[str, _Worker] = field(default_factory=dict)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start what the settings call embedded, create the topics, start the workers.

        Raises:
            StackError, BrokerError, StoreError: with what did not come up and why.
        """
        kafka = self.settings.kafka
        if kafka.embedded:
            self.report("starting the broker")
            port = _port(kafka.bootstrap)
            _refuse_taken(port, "kafka.bootstrap")
            self._broker = EmbeddedBroker(port, log_path=self._log("broker")).start()
        create_topics(kafka_of(self.settings), topics_of(self.settings), kafka.replication_factor)
        if self.settings.milvus.embedded:
            self.report("starting Milvus Lite")
            self._start_milvus()
        for name in self.workers:
            self.report(f"starting the {name} worker")
            self._running[name] = self._start_worker(name)

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when every worker answers at its metrics port.

        Raises:
            StackError: one did not within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        for worker in self._running.values():
            while not listening(worker.port):
                self.check()
                if time.monotonic() > deadline:
                    raise StackError(
                        f"the {worker.name} worker was not ready after {timeout_s:.0f} s; "
                        f"its log is {self._log(worker.name)}"
                    )
                time.sleep(0.1)

    def check(self) -> None:
        """Restart workers that ended. Call it a few times a second.

        Raises:
            StackError: the broker or Milvus Lite ended, or a worker can't stay up.
        """
        if self._broker and not self._broker.running:
            raise StackError(
                f"the embedded broker ended; its log is {self._log('broker')}. Its events are "
                "gone (it keeps them in memory): start again and produce the catalog again"
            )
        if self._milvus and self._milvus.poll() is not None:
            self.report("Milvus Lite ended; starting it again")
            self._start_milvus()
        for worker in self._running.values():
            self._check_worker(worker)

    def stop(self) -> None:
        """End every process, the workers first, so that they can finish what they hold."""
        children = [w.process for w in self._running.values()]
        for child in children:
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + GRACE_S
        for child in children:
            stop(child, max(0.1, deadline - time.monotonic()))
        self._running.clear()
        if self._milvus:
            stop(self._milvus)
            self._milvus = None
        if self._broker:
            self._broker.stop()
            self._broker = None

    def _log(self, name: str) -> Path:
        return self.settings.log_dir / f"{name}.log"

    def _start_milvus(self) -> None:
        port = _port(self.settings.milvus.uri)
        _refuse_taken(port, "milvus.uri")
        self.settings.milvus_dir.mkdir(parents=True, exist_ok=True)
        self._milvus = spawn(
            lite_process.argv(self.settings.milvus_dir, port),
            log_path=self._log("milvus"),
            env={**os.environ, **lite_process.environment()},
        )
        lite_process.wait_ready(self.settings.milvus.address, START_TIMEOUT_S)

    def _start_worker(self, name: str) -> _Worker:
        process = spawn(
            python_module("workers.cli", "worker", name),
            log_path=self._log(name),
            env=settings_environment(self.settings),
        )
        port: int = getattr(self.settings, name).metrics_port
        return _Worker(name, port, process, time.monotonic())

    def _check_worker(self, worker: _Worker) -> None:
        now = time.monotonic()
        if worker.restart_at is not None:
            if now >= worker.restart_at:
                again = self._start_worker(worker.name)
                worker.process, worker.started = again.process, now
                worker.restart_at = None
            return
        status = worker.process.poll()
        if status is None:
            return
        worker.failures = 1 if now - worker.started > SETTLED_S else worker.failures + 1
        if worker.failures > len(RESTART_WAITS_S):
            raise StackError(
                f"the {worker.name} worker ended {worker.failures} times in a row, last with "
                f"status {status}:\n{tail(self._log(worker.name))}"
            )
        wait = RESTART_WAITS_S[worker.failures - 1]
        self.report(f"the {worker.name} worker ended with status {status}; again in {wait:g} s")
        worker.restart_at = now + wait


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log."""
    if not path.is_file():
        return f"(no log at {path})"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _port(address: str) -> int:
    return int(address.rstrip("/").rpartition(":")[2])


def listening(port: int) -> bool:
    """Whether something answers at this port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _refuse_taken(port: int, setting: str) -> None:
    if listening(port):
        raise StackError(
            f"port {port} is taken: is `lookstream up` running already? "
            f"Stop it, or choose another port in {setting}"
        )
