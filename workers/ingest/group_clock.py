"""Which of two writes to a group of fields stands: versions are compared with versions, times with
times.

An event has a time, and may have a version. Between two writes with versions the higher version
stands, and between equal ones the later time; between two without, the later time; between one with
and one without, the later time too. But a version at or below one that was seen before never comes
back once a write without a version has taken its place: that would be a late or repeated event,
whatever its time says.

So a group remembers the highest version it has seen, that version's time, the latest time of a
write without a version, and which of the two stands. Each is remembered even where the write lost:
whatever is delivered again, in any way, then changes nothing. Two writes are the same to this rule
if their kind, version and time are; of those the last to arrive stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Self

from workers.ingest.event_clock import EARLIEST_MS, EventClock


class Verdict(Enum):
    """What becomes of a write."""

    STANDS = "stands"
    OLDER = "older"  # the same kind of clock says so
    CLOCKS_DIFFER = "clocks differ"  # a version against a time, or its version against its own time


@dataclass(frozen=True)
class GroupClock:
    """What a group of fields remembers of its writes; times in milliseconds since the epoch.

    Attributes:
        version: the highest version seen, None before any.
        version_time: the time of the write with that version.
        time: the latest time of a write without a version, None before any.
        by_version: whether the write that stands has a version.
    """

    version: int | None = None
    version_time: int = 0
    time: int | None = None
    by_version: bool = False

    @classmethod
    def of_row(cls, stored: Any) -> Self:
        """The clock as a row keeps it: a list of the four attributes, or a plain integer.

        Rows written before there were two clocks hold one integer, which was either: below
        10¹¹ it is a version (its time is not known), from there on a time in milliseconds.
        """
        if isinstance(stored, int):
            return (
                cls(version=stored, by_version=True) if stored < EARLIEST_MS else cls(time=stored)
            )
        version, version_time, time, by_version = stored
        return cls(version, version_time, time, bool(by_version))

    def to_row(self) -> list[int | None]:
        """For the row's JSON."""
        return [self.version, self.version_time, self.time, int(self.by_version)]

    def after(self, write: EventClock) -> tuple[Self, Verdict]:
        """The clock after a write, and whether that write stands."""
        if write.version is not None:
            return self._after_versioned(write, write.version)
        if self.time is not None and (
            write.time < self.time or (write.time == self.time and self.by_version)
        ):
            return self, Verdict.OLDER
        seen = replace(self, time=write.time)
        if self.by_version and write.time < self.version_time:
            return seen, Verdict.CLOCKS_DIFFER
        return replace(seen, by_version=False), Verdict.STANDS

    def _after_versioned(self, write: EventClock, version: int) -> tuple[Self, Verdict]:
        standing = self.version_time if self.by_version else self.time or 0
        seen = replace(self, version=version, version_time=write.time)
        if self.version is not None and version <= self.version:
            if version < self.version or not self.by_version:
                contradicts = write.has_own_time and write.time > standing
                return self, Verdict.CLOCKS_DIFFER if contradicts else Verdict.OLDER
            if write.time < self.version_time:
                return self, Verdict.OLDER
        if not self.by_version and write.time < standing:
            return seen, Verdict.CLOCKS_DIFFER
        return replace(seen, by_version=True), Verdict.STANDS
