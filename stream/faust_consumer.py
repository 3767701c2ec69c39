"""A Faust stream consumed through `delivery`, in step with the rebalances of its group.

Faust's own `take` and `events` ack a batch that failed, and its ack of a later offset jumps over
an earlier one; so events are taken un-acked and acked in order, when their whole batch is durable.

During a rebalance nothing may still be written: the next owner of a partition starts from what is
committed, and a late write of ours could undo what it did. So the rebalance waits until the current
batch has ended, a process that can't end it in time exits at once, and what Faust had prefetched
before the rebalance is dropped: it is read again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from stream.connection import COMMIT_S
from stream.delivery import BatchResult, Delivery, exit_unacked
from stream.errors import Transient
from stream.records import from_faust

if TYPE_CHECKING:  # Faust takes half a second to load, and the query worker does without it
    import faust

log = logging.getLogger(__name__)

# How long a rebalance waits for our batch. A store may be slow to reject a request; Kafka
# reassigns the partitions after a minute (Faust's broker_rebalance_timeout).
INTERRUPT_S = 40.0
# How long a batch may take to end after SIGTERM; the rest of five seconds is for leaving the group.
FINISH_S = 3.0


async def consume(
    stream: faust.StreamT[Any],
    delivery: Delivery[Any],
    *,
    max_batch: int = 64,
    within_s: float = 0.2,
    on_batch_result: Callable[[BatchResult], None] | None = None,
    on_assigned: Callable[[], Awaitable[None]] | None = None,
    on_revoked: Callable[[], Awaitable[None]] | None = None,
    exit_process: Callable[[], NoReturn] = exit_unacked,
) -> None:
    """Deliver a Faust stream, batch by batch; the body of an agent with `concurrency=1`.

    A batch is `max_batch` records, or what came within `within_s` seconds. `on_assigned` is
    called whenever partitions were assigned, before any of their records is delivered: what is
    cached of the store may be stale then. `on_revoked` is called when they are to be given up, at
    shutdown too: our batch has ended, and no other process has them yet. A batch that fails
    unexpectedly ends the process with `EXIT_UNACKED`: an agent that Faust restarts would never see
    the batch again.
    """
    consumption = _Consumption(stream.app, delivery, on_assigned, on_revoked, exit_process)
    batches = stream.noack_take(max_batch, within=within_s)  # type: ignore[attr-defined]
    with consumption.connected():
        async for events in batches:
            if (result := await consumption.deliver(events)) and on_batch_result:
                on_batch_result(result)


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
    """The batch that is being delivered, and whether another may begin."""

    def __init__(
        self,
        app: Any,
        delivery: Delivery[Any],
        on_assigned: Callable[[], Awaitable[None]] | None,
        on_revoked: Callable[[], Awaitable[None]] | None,
        exit_process: Callable[[], NoReturn],
    ) -> None:
        self._app = app
        self._delivery = delivery
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._exit_process = exit_process
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

    async def deliver(self, events: Sequence[Any]) -> BatchResult | None:
        """Deliver and ack; None if a rebalance came before the batch could end."""
        await self._not_rebalancing.wait()
        # Events from before a rebalance are dropped: they are read again, from what was committed.
        generation = self._app.consumer_generation_id
        events = [event for event in events if event.message.generation_id == generation]
        if not events:
            return None
        self._idle.clear()
        try:
            result = await self._delivery.deliver([from_faust(event.message) for event in events])
        except Transient as error:
            log.warning("interrupted with %d records un-acked: %s", len(events), error)
            return None
        except Exception:
            log.critical("unexpected error: exiting with the batch un-acked", exc_info=True)
            self._exit_process()
        else:
            for event in events:
                event.ack()
            return result
        finally:
            self._idle.set()

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
        if self._on_revoked:
            await self._on_revoked()
