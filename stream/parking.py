"""Records between being taken and being acked: order is kept per key, acks per partition.

A record may wait for something, such as its picture. It is parked then, with all later records of
its key; records of other keys are delivered meanwhile. A record is acked when it has ended and all
before it in its partition have, so nothing is committed that was not delivered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from stream.records import Record

E = TypeVar("E")


@dataclass(frozen=True)
class Begun:
    """What a record waits for, if it does, and the key whose records are delivered in order."""

    key: Hashable
    waits_for: asyncio.Future[Any] | None = None

    @property
    def waits(self) -> bool:
        """Whether it is not there yet."""
        return self.waits_for is not None and not self.waits_for.done()


@dataclass(eq=False)
class Slot(Generic[E]):
    """A record that was taken, with the event to be acked for it."""

    event: E
    record: Record
    begun: Begun
    ended: bool = False


class Parking(Generic[E]):
    """The records under way, in the order in which they were taken."""

    def __init__(self) -> None:
        self._waiting: dict[Slot[E], None] = {}
        self._delivering: list[Slot[E]] = []
        self._unacked: dict[tuple[str, int], deque[Slot[E]]] = {}

    def add(self, event: E, record: Record, begun: Begun) -> None:
        """Take a record."""
        slot = Slot(event, record, begun)
        self._waiting[slot] = None
        self._unacked.setdefault((record.topic, record.partition), deque()).append(slot)

    def ready(self, most: int) -> list[Slot[E]]:
        """The first records that can be delivered, at most so many."""
        blocked: set[Hashable] = set()
        found: list[Slot[E]] = []
        for slot in self._waiting:
            if len(found) == most:
                break
            if slot.begun.key in blocked or slot.begun.waits:
                blocked.add(slot.begun.key)
            else:
                found.append(slot)
        return found

    def deliver(self, most: int) -> list[Slot[E]]:
        """The next records to be delivered; call it again when they have ended."""
        self._delivering = self.ready(most)
        for slot in self._delivering:
            del self._waiting[slot]
        return self._delivering

    def end(self) -> list[E]:
        """What was delivered has ended: the events that can be acked now, in order."""
        ended, self._delivering = self._delivering, []
        for slot in ended:
            slot.ended = True
        acked: list[E] = []
        for place in {(slot.record.topic, slot.record.partition) for slot in ended}:
            unacked = self._unacked[place]
            while unacked and unacked[0].ended:
                acked.append(unacked.popleft().event)
            if not unacked:
                del self._unacked[place]
        for slot in ended:
            slot.record = replace(slot.record, value=None)  # it may wait long to be acked
        return acked

    def clear(self) -> list[Record]:
        """Forget all, un-acked, and cancel what is waited for; the records that had not ended."""
        slots = [*self._delivering, *self._waiting]
        for slot in slots:
            if slot.begun.waits_for is not None:
                slot.begun.waits_for.cancel()
        self._delivering, self._waiting, self._unacked = [], {}, {}
        return [slot.record for slot in slots]

    @property
    def parked(self) -> int:
        """Records that wait, or are behind one of their key that does."""
        return len(self._waiting) - len(self.ready(len(self._waiting)))

    @property
    def unacked(self) -> int:
        """Records that are not acked: those under way, and ended ones that are behind them."""
        return sum(map(len, self._unacked.values()))
