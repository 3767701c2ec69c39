"""How long work reports how far it is; what is shown of it is the caller's matter."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with (done, total)."""

Phases = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is.

A phase ends when all of it is done; its name may come again."""


def no_progress(done: int, total: int) -> None:
    """Shows nothing."""


def no_phases(what: str, done: int, total: int) -> None:
    """Shows nothing."""


def of_phase(phases: Phases, what: str) -> Progress:
    """One phase as a function of (done, total)."""
    return lambda done, total: phases(what, done, total)
