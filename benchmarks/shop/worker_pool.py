"""The ingest workers of the simulated shop: started, stopped, killed, and restarted."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.child_process import python_module, spawn, stop
from stream.embedded_broker import claim_port
from tests.paths import ROOT
from workers.config.settings import Settings, settings_environment
from workers.deploy.supervisor import tail

# What a supervisor waits before it restarts a worker.
RESTART_S = 1.0
GRACE_S = 10.0


class WorkerPool:
    """Ingest workers, numbered from 0; a context manager, for the main thread.

    `kills` counts the SIGKILLs, `exits` the workers that ended by themselves, which should be none:
    the end of the log of each is printed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._restarts: list[float] = []
        self._started = 0
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
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            stop(process, GRACE_S)

    @property
    def running(self) -> list[int]:
        """The numbers of the workers that run."""
        return sorted(self._processes)

    def start(self) -> int:
        """Start one more worker and return its number."""
        number, self._started = self._started, self._started + 1
        changed = self._settings.model_dump()
        changed["ingest"]["metrics_port"] = claim_port()
        environment = settings_environment(Settings.model_validate(changed))
        self._processes[number] = spawn(
            python_module("benchmarks.shop.worker"),
            log_path=self._log(number),
            env=environment | {"PYTHONPATH": str(ROOT)},
        )
        return number

    def stop(self, number: int) -> float:
        """Ask a worker to end (SIGTERM); how many seconds it took."""
        self.restart_ended()
        began = time.monotonic()
        stop(self._processes.pop(number), GRACE_S)
        return time.monotonic() - began

    def kill(self, number: int) -> None:
        """Kill a worker with SIGKILL; another is started after `RESTART_S`."""
        self.restart_ended()
        process = self._processes.pop(number)
        process.kill()
        process.wait()
        self.kills += 1
        self._restarts.append(time.monotonic() + RESTART_S)

    def restart_ended(self) -> None:
        """Start workers in place of those that ended `RESTART_S` ago or earlier."""
        for number, process in list(self._processes.items()):
            if (status := process.poll()) is not None:
                last = tail(self._log(number))
                print(f"worker {number} ended with status {status}:\n{last}", file=sys.stderr)
                del self._processes[number]
                self.exits += 1
                self._restarts.append(time.monotonic() + RESTART_S)
        while self._restarts and self._restarts[0] <= time.monotonic():
            self._restarts.pop(0)
            self.start()

    def _log(self, number: int) -> Path:
        return self._settings.log_dir / f"ingest-{number}.log"
