"""Everything that `lookstream up` runs, started in order, kept alive, and ended in order.

The broker and Milvus Lite (where embedded), then the workers, each a process of its own that dies
with this one. A worker or Milvus Lite that ends is started again, a little later each time; one
that can't stay up ends the whole stack with the tail of its log.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from index.errors import SearchIndexError
from index.milvus import lite_process
from models.errors import ModelError
from stream.child_process import python_module, spawn, stop
from stream.embedded_broker import EmbeddedBroker
from stream.topics import create_topics
from workers.config.load_models import model_id_of
from workers.config.settings import Settings, settings_environment
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.preflight import check_data_dir, check_setup, worker_port
from workers.deploy.run_lock import RunLock
from workers.deploy.signals import ERROR, EXIT_SETTINGS
from workers.errors import StackError
from workers.model_fit import bank_model, check_model

WORKERS = ("ingest", "query", "feedback", "web")
# Waits before the first, second, … restart of a process; one more failure in a row is the end.
RESTART_WAITS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
# A process that has been up this long starts again with the shortest wait.
STABLE_S = 60.0
# Long enough to finish a batch and to leave the consumer group.
GRACE_S = 10.0
START_TIMEOUT_S = 120.0
# How long Milvus may take to answer where the model has to be checked.
MILVUS_TIMEOUT_S = 30.0

Report = Callable[[str], None]


@dataclass
class _Child:
    """One process that is kept alive, and its history of restarts.

    `port` is where it listens once it is ready, `spawn` starts it anew.
    """

    title: str
    log: Path
    port: int
    spawn: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]
    started: float
    failures: int = 0
    restart_at: float | None = None


@dataclass
class Stack:
    """The running processes; use it as a context manager, from the main thread.

    `report` is called with short lines about what happens.
    """

    settings: Settings
    workers: Sequence[str] = WORKERS
    report: Report = lambda _line: None
    _lock: RunLock | None = None
    _broker: EmbeddedBroker | None = None
    _milvus: _Child | None = None
    _workers: dict[str, _Child] = field(default_factory=dict)

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

        Workers start while Milvus Lite does: they ask for it when they need it, and ask again.

        Nothing is started where a port is taken or the data folder is not ours to use.

        Raises:
            StackError, BrokerError: with what did not come up and why.
        """
        kafka = self.settings.kafka
        check_data_dir(self.settings.data_dir)
        if kafka.embedded or self.settings.milvus.embedded:
            self._lock = RunLock(self.settings.data_dir)
            self._lock.acquire()
        check_setup(self.settings, self.workers)
        if kafka.embedded:
            self.report("starting the broker")
            self._broker = EmbeddedBroker(
                _port(kafka.bootstrap), log_path=self._log("broker")
            ).start()
        create_topics(kafka_of(self.settings), topics_of(self.settings), kafka.replication_factor)
        if self.settings.milvus.embedded:
            self.report("starting Milvus Lite")
            self._milvus = self._start(
                "Milvus Lite", "milvus", _port(self.settings.milvus.uri), self._spawn_milvus
            )
        self._check_model()
        for name in self.workers:
            self.report(f"starting the {name} worker")
            port = worker_port(self.settings, name).number
            self._workers[name] = self._start(
                f"the {name} worker", name, port, partial(self._spawn_worker, name)
            )

    def _check_model(self) -> None:
        """Start no worker that has another model than the index; only then Milvus is waited for."""
        if not {"ingest", "query"} & set(self.workers):
            return
        try:
            model_id = model_id_of(self.settings)
            if bank_model(self.settings) in (None, model_id):
                return
            self.report("asking which model made the index")
            check_model(self.settings, model_id, MILVUS_TIMEOUT_S)
        except (ModelError, SearchIndexError) as error:
            raise StackError(str(error)) from error

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when Milvus Lite answers, and every worker at its metrics port.

        Raises:
            StackError: one did not within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        for child in self._children().values():
            while not listening(child.port):
                self.check()
                if time.monotonic() > deadline:
                    raise StackError(
                        f"{child.title} was not ready after {timeout_s:.0f} s; "
                        f"its log is {child.log}"
                    )
                time.sleep(0.1)

    def check(self) -> None:
        """Restart what ended. Call it a few times a second.

        Raises:
            StackError: the broker ended, or a worker or Milvus Lite can't stay up.
        """
        if self._broker and not self._broker.running:
            raise StackError(
                f"the embedded broker ended; its log is {self._log('broker')}. Its events are "
                "gone (it keeps them in memory): start again and produce the catalog again"
            )
        for child in self._children().values():
            self._check_child(child)

    def stop(self) -> None:
        """End every process, the workers first, so that they can finish what they hold."""
        children = [worker.process for worker in self._workers.values()]
        for child in children:
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + GRACE_S
        for child in children:
            stop(child, max(0.1, deadline - time.monotonic()))
        self._workers.clear()
        if self._milvus:
            stop(self._milvus.process)
            self._milvus = None
        if self._broker:
            self._broker.stop()
            self._broker = None
        if self._lock:
            self._lock.release()
            self._lock = None

    def _log(self, name: str) -> Path:
        return self.settings.log_dir / f"{name}.log"

    def _children(self) -> dict[str, _Child]:
        """What is kept alive by its name, in the order in which it was started."""
        return {**({"milvus": self._milvus} if self._milvus else {}), **self._workers}

    def _start(
        self, title: str, log: str, port: int, spawn: Callable[[], subprocess.Popen[bytes]]
    ) -> _Child:
        return _Child(title, self._log(log), port, spawn, spawn(), time.monotonic())

    def _spawn_milvus(self) -> subprocess.Popen[bytes]:
        self.settings.milvus_dir.mkdir(parents=True, exist_ok=True)
        return spawn(
            lite_process.argv(self.settings.milvus_dir, _port(self.settings.milvus.uri)),
            log_path=self._log("milvus"),
            env={**os.environ, **lite_process.environment()},
        )

    def _spawn_worker(self, name: str) -> subprocess.Popen[bytes]:
        return spawn(
            python_module("workers.cli", "worker", name),
            log_path=self._log(name),
            env=settings_environment(self.settings),
        )

    def _check_child(self, child: _Child) -> None:
        now = time.monotonic()
        if child.restart_at is not None:
            if now >= child.restart_at:
                child.process, child.started = child.spawn(), now
                child.restart_at = None
            return
        status = child.process.poll()
        if status is None:
            return
        if status == EXIT_SETTINGS:
            raise StackError(
                f"{child.title} cannot run with these settings: {_last_error(child.log)}"
            )
        child.failures = 1 if now - child.started > STABLE_S else child.failures + 1
        if child.failures > len(RESTART_WAITS_S):
            raise StackError(
                f"{child.title} ended {child.failures} times in a row, last with "
                f"status {status}:\n{tail(child.log)}"
            )
        wait = RESTART_WAITS_S[child.failures - 1]
        self.report(f"{child.title} ended with status {status}; again in {wait:g} s")
        child.restart_at = now + wait


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log file."""
    if not path.is_file():
        return f"(no log at {path})"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _last_error(path: Path) -> str:
    """The sentence with which a process ended that cannot run with its settings."""
    lines = tail(path).splitlines()
    found = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    return found[-1] if found else "\n".join(lines)


def _port(address: str) -> int:
    return int(address.rstrip("/").rpartition(":")[2])


def listening(port: int) -> bool:
    """Whether something answers at this port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
