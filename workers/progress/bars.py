"""Progress on a terminal."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from workers.progress.tasks import Clock, Progress, Task
from workers.terminal.printable import printable


class Bars(Progress):
    """Bars of the open tasks on a terminal; what ended leaves its line above them."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._rich = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            redirect_stdout=False,
        )
        self._numbers: dict[Task, TaskID] = {}

    def note(self, line: str) -> None:
        """A line above the bars."""
        self._rich.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._rich.stop()

    def _begun(self, task: Task) -> None:
        self._numbers[task] = self._rich.add_task(
            printable(task.name), total=task.total, completed=task.done
        )

    def _moved(self, task: Task) -> None:
        if task in self._numbers:
            self._rich.update(self._numbers[task], completed=task.done, total=task.total)

    def _renamed(self, task: Task) -> None:
        self._rich.update(self._numbers[task], description=printable(task.name))

    def _ended(self, task: Task, failed: bool) -> None:
        self._rich.remove_task(self._numbers.pop(task))
        self.note(task.broken_off() if failed else task.summary(self.clock()))
