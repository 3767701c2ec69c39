"""Tasks, and who shows them; `Progress` itself shows nothing."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")
Clock = Callable[[], float]

LINES_FOR_RATE = 5
"""The rate is that of so many marks, about a minute: neither jumpy nor of long ago."""


class Task:
    """One piece of work: a context manager that ends it, called with how far it is.

    Args:
        owner: shows it.
        name: what is done, such as "encoding".
        total: how much there is to do; None while nobody knows.
        done: how much was done before; it counts for no rate.
        now: seconds of the owner's clock.
    """

    def __init__(self, owner: Progress, name: str, total: int | None, done: int, now: float):
        self._owner = owner
        self.name = name
        self.total = total
        self.done = done
        self.began = self.printed = self.moved = now
        self.marks: deque[tuple[float, int]] = deque([(now, done)], maxlen=LINES_FOR_RATE)
        self.before = done
        self.open = True

    def __call__(self, done: int, total: int | None = None) -> None:
        """Take note that ``done`` of ``total`` is done; without a total the last one stands."""
        self._owner.update(self, done, total)

    def rename(self, name: str) -> None:
        """Say what is being done now, as part of the same work."""
        self._owner.rename(self, name)

    def finish(self) -> None:
        """End it; a second time does nothing."""
        self._owner.finish(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owner.finish(self, failed=kind is not None)

    def state(self, now: float) -> str:
        """How far it is: "encoding: 1,200 of 4,500 (27 %), 41/s, about 80 s left"."""
        if not self.done and self.total is None:
            return f"{self.name}: {_span(now - self.began)} so far"
        words = [f"{self.name}: {self._amount()}"]
        then, had = self.marks[0]
        moved = self.done - had
        if moved > 0 and now > then:
            rate = moved / (now - then)
            words.append(_rate(rate))
            if self.total is not None:
                words.append(f"about {_span(max(0, self.total - self.done) / rate)} left")
        else:
            words.append(f"nothing new for {_span(now - self.moved)}")
        return ", ".join(words)

    def summary(self, now: float) -> str:
        """How it went: "encoding: 4,500 in 110 s, 41/s"."""
        took = now - self.began
        made = self.done - self.before
        if not self.done:
            return f"{self.name}: done in {_span(took)}"
        rate = f", {_rate(made / took)}" if made > 0 and took > 0 else ""
        return f"{self.name}: {self.done:,} in {_span(took)}{rate}"

    def broken_off(self) -> str:
        """Where it stopped, when an error ended it."""
        return f"{self.name}: stopped" + (f" at {self._amount()}" if self.done else "")

    def _amount(self) -> str:
        if not self.total:
            return f"{self.done:,}"
        return f"{self.done:,} of {self.total:,} ({100 * self.done // self.total} %)"


class Progress:
    """Shows tasks; this one shows nothing. A context manager that ends what is still open."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.tasks: list[Task] = []
        self._lock = threading.RLock()

    def task(self, name: str, total: int | None = None, *, done: int = 0) -> Task:
        """Begin a task; see `Task`."""
        with self._lock:
            task = Task(self, name, total, done, self.clock())
            self.tasks.append(task)
            self._begun(task)
            return task

    def track(self, items: Iterable[T], name: str, total: int | None = None) -> Iterator[T]:
        """The items, counted as a task, each when the next one is asked for."""
        with self.task(name, total) as task:
            for count, item in enumerate(items, start=1):
                yield item
                task(count)

    def phases(self) -> Callable[[str, int, int], None]:
        """A function to call with (what, done, total): each name is a task until all is done.

        Of what was done when a name comes first no rate is made: it may have been done long ago.
        """
        current: dict[str, Task] = {}

        def show(what: str, done: int, total: int) -> None:
            task = current.get(what)
            if task is None or not task.open:
                task = current[what] = self.task(what, total, done=done)
            task(done, total)
            if done >= total:
                task.finish()

        return show

    def note(self, line: str) -> None:
        """A remark among the tasks."""

    def update(self, task: Task, done: int, total: int | None = None) -> None:
        """See `Task.__call__`."""
        with self._lock:
            now = self.clock()
            if task.total is None and total is not None and not task.done:
                # Only now is it known what there is; work may go on where it was interrupted.
                task.before = done
                task.marks[0] = (now, done)
            if done != task.done:
                task.moved = now
            task.done, task.total = done, task.total if total is None else total
            self._moved(task)

    def rename(self, task: Task, name: str) -> None:
        """See `Task.rename`."""
        with self._lock:
            task.name = name
            self._renamed(task)

    def finish(self, task: Task, *, failed: bool = False) -> None:
        """See `Task.finish`; ``failed`` when an error ended it."""
        with self._lock:
            if not task.open:
                return
            task.open = False
            self.tasks.remove(task)
            self._ended(task, failed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in list(self.tasks):
            self.finish(task, failed=kind is not None)

    def _begun(self, task: Task) -> None: ...

    def _moved(self, task: Task) -> None: ...

    def _renamed(self, task: Task) -> None: ...

    def _ended(self, task: Task, failed: bool) -> None: ...


def _rate(per_s: float) -> str:
    if per_s >= 10:
        return f"{per_s:,.0f}/s"
    return f"{per_s:.1f}/s" if per_s >= 1 else f"{per_s:.2g}/s"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 120 * 60 else f"{seconds / 3600:.1f} h"
