"""Records that were taken and are not finished: up to where may be committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from threading import Lock

from stream.consumer_loop import Partition
from stream.records import Record


class InFlight:
    """The records under way, in any order; may be used by several threads.

    A record that is read again after a rebalance, while it is still under way, counts twice.
    """

    def __init__(self) -> None:
        self._offsets: dict[Partition, Counter[int]] = {}
        self._size = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return self._size

    def add(self, records: Iterable[Record]) -> None:
        """These were taken."""
        with self._lock:
            for record in records:
                offsets = self._offsets.setdefault((record.topic, record.partition), Counter())
                offsets[record.offset] += 1
                self._size += 1

    def finish(self, records: Iterable[Record]) -> None:
        """These are finished, durably."""
        with self._lock:
            for record in records:
                place = (record.topic, record.partition)
                offsets = self._offsets[place]
                offsets[record.offset] -= 1
                if not offsets[record.offset]:
                    del offsets[record.offset]
                if not offsets:
                    del self._offsets[place]
                self._size -= 1

    def first_unfinished(self) -> dict[Partition, int]:
        """The lowest unfinished offset of each partition that has one."""
        with self._lock:
            return {place: min(offsets) for place, offsets in self._offsets.items()}
