"""The shop's ingest workers: they join, leave, are killed, and come back."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.child_process import python_module, spawn, stop
from stream.embedded_broker import claim_port
from workers.config.settings import Settings, settings_environment

# What a supervisor waits before it starts a worker again.
RESTART_S = 1.0
GRACE_S = 10.0


class Staff:
    """Ingest workers of one shop, numbered from 0; a context manager, for the main thread.

    `kills` counts the SIGKILLs, `exits` the workers that ended by themselves.
    """

    def __init__(self, settings: Settings, module: str = "benchmarks.shop.worker") -> None:
        self._settings = settings
        self._module = module
        self._working: dict[int, subprocess.Popen[bytes]] = {}
        self._returns: list[float] = []
        self.hired = 0
        self.kills = 0
        self.exits = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._working.values():
            worker.terminate()
        for worker in self._working.values():
            stop(worker, GRACE_S)

    @property
    def present(self) -> list[int]:
        """The numbers of the workers that run."""
        return sorted(self._working)

    def join(self) -> int:
        """Start one more worker."""
        number, self.hired = self.hired, self.hired + 1
        changed = self._settings.model_dump()
        changed["ingest"]["metrics_port"] = claim_port()
        self._working[number] = spawn(
            python_module(self._module),
            log_path=self.log(number),
            env=settings_environment(Settings.model_validate(changed)),
        )
        return number

    def leave(self, number: int) -> float:
        """Ask a worker to end (SIGTERM); how many seconds it took."""
        self.look()
        began = time.monotonic()
        stop(self._working.pop(number), GRACE_S)
        return time.monotonic() - began

    def kill(self, number: int) -> None:
        """Kill a worker with SIGKILL; another takes its place in a moment."""
        self.look()
        worker = self._working.pop(number)
        worker.kill()
        worker.wait()
        self.kills += 1
        self._returns.append(time.monotonic() + RESTART_S)

    def look(self) -> None:
        """Start again what ended, when its time has come."""
        for number, worker in list(self._working.items()):
            if worker.poll() is not None:
                del self._working[number]
                self.exits += 1
                self._returns.append(time.monotonic() + RESTART_S)
        while self._returns and self._returns[0] <= time.monotonic():
            self._returns.pop(0)
            self.join()

    def log(self, number: int) -> Path:
        """Where a worker writes."""
        return self._settings.log_dir / f"ingest-{number}.log"
