"""A Faust stream consumed through `delivery`, in step with the rebalances of its group.

Faust's own `take` and `events` ack a batch that failed, and its ack of a later offset jumps over
an earlier one; so events are taken un-acked and acked in order, when they are durable.

A record that has to wait for something is parked (`stream.parking`): others go on without it, those
of its key do not. What is parked is bounded; beyond that nothing is taken.

During a rebalance nothing may still be written: the next owner of a partition starts from what is
committed, and a late write of ours could undo what it did. So the rebalance waits until the current
batch has ended, a process that can't end it in time exits at once, and what is parked or was
prefetched by Faust is dropped: it is read again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from stream.connection import COMMIT_S
from stream.delivery import BatchResult, Delivery, exit_unacked
from stream.errors import Transient
from stream.parking import Begun, Parking
from stream.records import Record, from_faust

if TYPE_CHECKING:  # Faust takes half a second to load, and the query worker does without it
    import faust

log = logging.getLogger(__name__)

# How long a rebalance waits for our batch. A store may be slow to reject a request; Kafka
# reassigns the partitions after a minute (Faust's broker_rebalance_timeout).
INTERRUPT_S = 40.0
# How long a batch may take to end after SIGTERM; the rest of five seconds is for leaving the group.
FINISH_S = 3.0


class Prefetch(Protocol):
    """What can be begun for records before they are delivered, such as fetching their pictures."""

    def begin(self, records: Sequence[Record]) -> Sequence[Begun]:
        """Begin it for each; it may be cancelled."""

    def drop(self, records: Sequence[Record]) -> None:
        """These have ended, or are not to be delivered any more."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many records are taken, and together.

    A batch is `max_batch` records, or what came within `within_s` seconds. No more are taken while
    `max_parked` records wait, or `max_unacked` are not acked because of one that does.
    """

    max_batch: int = 64
    within_s: float = 0.2
    max_parked: int = 256
    max_unacked: int = 20_000


async def consume(
    stream: faust.StreamT[Any],
    delivery: Delivery[Any],
    *,
    limits: Limits | None = None,
    prefetch: Prefetch | None = None,
    on_batch_result: Callable[[BatchResult], None] | None = None,
    on_assigned: Callable[[], Awaitable[None]] | None = None,
    on_revoked: Callable[[], Awaitable[None]] | None = None,
    exit_process: Callable[[], NoReturn] = exit_unacked,
) -> None:
    """Deliver a Faust stream, batch by batch; the body of an agent with `concurrency=1`.

    Without `prefetch` no record waits. `on_assigned` is called whenever partitions were assigned,
    before any of their records is delivered: what is cached of the store may be stale then.
    `on_revoked` is called when they are to be given up, at shutdown too: our batch has ended, and
    no other process has them yet. A batch that fails unexpectedly ends the process with
    `EXIT_UNACKED`: an agent that Faust restarts would never see the batch again.
    """
    limits = limits or Limits()
    consumption = _Consumption(
        stream.app, delivery, limits, prefetch, on_assigned, on_revoked, exit_process
    )
    batches = stream.noack_take(limits.max_batch, within=limits.within_s)  # type: ignore[attr-defined]
    with consumption.connected():
        delivering = asyncio.create_task(consumption.deliver(on_batch_result))
        try:
            async for events in batches:
                await consumption.take(events)
        finally:
            delivering.cancel()


async def commit_acked(consumer: Any) -> None:
    """Let a Faust consumer commit what is acked, within `COMMIT_S`."""

    async def commit() -> None:
        # Twice: while another commit is under way, Faust waits for that one and adds nothing.
        await consumer.commit()
        await consumer.commit()

    # Not wait_for: Faust's commit swallows the cancellation and goes on waiting.
    if not (await asyncio.wait([asyncio.create_task(commit())], timeout=COMMIT_S))[0]:
        log.warning("the last batch was not committed in time: it will be delivered again")


class _Consumption:
    """The records under way, the batch that is being delivered, and whether another may begin."""

    def __init__(
        self,
        app: Any,
        delivery: Delivery[Any],
        limits: Limits,
        prefetch: Prefetch | None,
        on_assigned: Callable[[], Awaitable[None]] | None,
        on_revoked: Callable[[], Awaitable[None]] | None,
        exit_process: Callable[[], NoReturn],
    ) -> None:
        self._app = app
        self._delivery = delivery
        self._limits = limits
        self._prefetch = prefetch
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._exit_process = exit_process
        self._parking = Parking[Any]()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._not_rebalancing = asyncio.Event()
        self._not_rebalancing.set()

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Be called at rebalances and shutdown."""
        signals = (
            (self._app.on_partitions_revoked, self._revoked),
            (self._app.on_partitions_assigned, self._assigned),
            (self._app.on_before_shutdown, self._stopping),
        )
        for signal, handler in signals:
            signal.connect(handler)
        try:
            yield
        finally:
            for signal, handler in signals:
                signal.disconnect(handler)

    async def take(self, events: Sequence[Any]) -> None:
        """Begin with these events, once there is room for them."""
        while not (self._not_rebalancing.is_set() and self._has_room()):
            parked = self._parking.parked
            if parked >= self._limits.max_parked:
                log.warning("%d records wait: no more are taken until one goes on", parked)
            self._room.clear()
            await self._room.wait()
        # Events from before a rebalance are dropped: they are read again, from what was committed.
        generation = self._app.consumer_generation_id
        events = [event for event in events if event.message.generation_id == generation]
        records = [from_faust(event.message) for event in events]
        if self._prefetch:
            begun = self._prefetch.begin(records)
        else:
            begun = [Begun(record.source) for record in records]
        for event, record, one in zip(events, records, begun, strict=True):
            self._parking.add(event, record, one)
            if one.waits_for is not None:
                one.waits_for.add_done_callback(lambda _: self._changed.set())
        self._count_parked()
        self._changed.set()

    async def deliver(self, on_batch_result: Callable[[BatchResult], None] | None) -> None:
        """Deliver and ack what is ready, batch by batch."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                while self._not_rebalancing.is_set() and self._parking.ready(1):
                    result = await self._deliver_batch()
                    if result and on_batch_result:
                        on_batch_result(result)
            except Exception:
                log.critical("unexpected error: exiting with the batch un-acked", exc_info=True)
                self._exit_process()
            self._count_parked()

    async def _deliver_batch(self) -> BatchResult | None:
        """Deliver and ack; None if a rebalance came before the batch could end."""
        self._idle.clear()
        slots = self._parking.deliver(self._limits.max_batch)
        records = [slot.record for slot in slots]
        self._room.set()
        try:
            result = await self._delivery.deliver(records)
        except Transient as error:
            log.warning("interrupted with %d records un-acked: %s", len(records), error)
            return None
        else:
            for slot in slots:
                _release(slot.event)
            for event in self._parking.end():
                event.ack()
            if self._prefetch:
                self._prefetch.drop(records)
            return result
        finally:
            self._room.set()
            self._idle.set()

    def _has_room(self) -> bool:
        """Whether more may be taken: at most one batch ahead of the one that is delivered."""
        limits, parking = self._limits, self._parking
        return (
            not parking.ready(1)
            and parking.parked < limits.max_parked
            and parking.unacked < limits.max_unacked
        )

    async def _revoked(self, *_: Any, **__: Any) -> None:
        """Before a rebalance: end the batch, commit it, begin no other."""
        await self._end_batch(INTERRUPT_S)
        await commit_acked(self._app.consumer)

    async def _assigned(self, *_: Any, **__: Any) -> None:
        """After a rebalance: go on, perhaps with other partitions."""
        if self._on_assigned:
            await self._on_assigned()
        self._delivery.resume()
        self._not_rebalancing.set()
        self._room.set()

    async def _stopping(self, *_: Any, **__: Any) -> None:
        """Before shutdown: end the batch; Faust commits it when it stops."""
        await self._end_batch(FINISH_S)

    async def _end_batch(self, within_s: float) -> None:
        self._not_rebalancing.clear()
        self._delivery.interrupt()
        try:
            await asyncio.wait_for(self._idle.wait(), within_s)
        except TimeoutError:
            log.critical("the current batch did not end in %g s: exiting un-acked", within_s)
            self._exit_process()
        dropped = self._parking.clear()
        if self._prefetch:
            self._prefetch.drop(dropped)
        self._count_parked()
        self._room.set()
        if self._on_revoked:
            await self._on_revoked()

    def _count_parked(self) -> None:
        self._delivery.parked = self._parking.parked


def _release(event: Any) -> None:
    """Let go of what an event holds: it may wait long to be acked, with many others."""
    event.value = event.message.value = None
