"""Progress where there is no terminal: a log, CI."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self, TextIO

from workers.progress.tasks import Clock, Progress, Task
from workers.terminal.printable import printable

EVERY_S = 15.0
"""A log gets a line about every open task this often."""


class Lines(Progress):
    """Plain lines for a log: when a task begins, every `EVERY_S` seconds, and when it ends.

    Args:
        stream: where they go.
        clock: seconds.
        heartbeat: whether a thread of its own keeps the lines coming while work reports nothing.
    """

    def __init__(
        self, stream: TextIO, clock: Clock = time.monotonic, *, heartbeat: bool = True
    ) -> None:
        super().__init__(clock)
        self._stream = stream
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True) if heartbeat else None

    def beat(self) -> None:
        """Print a line about every task that had none for `EVERY_S` seconds."""
        with self._lock:
            for task in self.tasks:
                self._print_if_due(task)

    def note(self, line: str) -> None:
        """A line of its own."""
        with self._lock:
            self._stream.write(printable(line) + "\n")
            self._stream.flush()

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave.set()
        if self._thread:
            self._thread.join()
        super().__exit__(kind, error, trace)

    def _beat(self) -> None:
        while not self._leave.wait(EVERY_S / 15):
            self.beat()

    def _print_if_due(self, task: Task) -> None:
        now = self.clock()
        if now - task.printed >= EVERY_S:
            self.note(task.state(now))
            task.printed = now
            task.marks.append((now, task.done))

    def _begun(self, task: Task) -> None:
        self.note(f"{task.name}: {task.total:,}" if task.total else task.name)

    def _moved(self, task: Task) -> None:
        self._print_if_due(task)

    def _renamed(self, task: Task) -> None:
        self.note(task.name)
        task.printed = self.clock()

    def _ended(self, task: Task, failed: bool) -> None:
        self.note(task.broken_off() if failed else task.summary(self.clock()))
