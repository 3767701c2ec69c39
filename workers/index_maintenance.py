"""Background maintenance of the index by the ingest worker: purge tombstones, repartition.

A tombstone is what stops a late upsert from bringing a deleted product back. How late an event may
be is for the shop to say (`ingest.remember_deletes_s`); kept for ever, deleted products would
outnumber the others. A catalog that has too few prototypes for its size is repartitioned by a
larger bank: that takes minutes, so it is done on a copy, while batches are written.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

import structlog

from index.errors import ChangeUnderWay, RepartitionCancelled, SearchIndexError
from index.lifecycle.repartition import needs_repartition, repartition
from index.lifecycle.switch import Wait
from workers.catalog_index import CatalogIndex

PURGE_EVERY_S = 300.0
"""Reading the tombstones costs one query; nobody waits for their end."""
REPARTITION_EVERY_S = 10.0
"""Counting walks every row on Lite: some 0.1 s at 100,000."""
POLL_S = 0.05
"""How often to check whether a batch is being delivered."""
MAX_WAIT_S = 60.0
"""The longest wait for a moment between two batches; in a long backlog there may be none."""

PAUSE_S = 1.0
"""The longest that a step of a long job waits for a batch."""

log = structlog.get_logger()

Sleep = Callable[[float], Awaitable[Any]]


class Busy(Protocol):
    """What is not to be held up: a `stream.delivery.Delivery`."""

    busy: bool


async def maintain(
    job: Callable[[], object],
    delivery: Busy,
    *,
    every_s: float,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Do a job every `every_s` seconds, at a moment between two batches; runs until cancelled.

    A job that fails is done again the next time. It runs in a thread that does not keep the process
    alive, so it must leave nothing broken wherever it is cut short.
    """
    while True:
        await sleep(every_s)
        waited = 0.0
        while delivery.busy and waited < MAX_WAIT_S:
            await sleep(POLL_S)
            waited += POLL_S
        try:
            await _in_daemon_thread(job)
        except ChangeUnderWay as error:
            log.info("index maintenance waits", why=str(error))
        except RepartitionCancelled as error:
            log.info("partitions changed hands: index maintenance begins again", why=str(error))
        except SearchIndexError as error:
            log.warning("index maintenance failed and is tried again", why=str(error))
        except Exception:  # products come first: they are ingested whatever happens here
            log.exception("index maintenance failed and is tried again")


def wait_for_batch(delivery: Busy, sleep: Wait = time.sleep) -> None:
    """What a long job calls before each of its steps: a batch that is under way goes first."""
    waited = 0.0
    while delivery.busy and waited < PAUSE_S:
        sleep(POLL_S)
        waited += POLL_S


def purge_tombstones(
    index: CatalogIndex, remember_s: float, clock_ns: Callable[[], int] = time.time_ns
) -> int:
    """Remove the tombstones of deletes older than `remember_s` seconds; how many."""
    purged = index.purge_tombstones(clock_ns() - round(remember_s * 1e9))
    if purged:
        log.info("tombstones purged", rows=purged)
    return purged


class Repartitioning:
    """Looks after a catalog's prototypes: enough of them for its size.

    Args:
        index: the writer's, which goes on writing meanwhile.
        alone: whether no other process may write to this catalog now.
        grace_s: how long the old generation outlives the switch; `index.lifecycle.switch.GRACE_S`
            by default.
        wait: waits for so many seconds.
        on_progress: called with the rows copied so far, and about how many there are.
    """

    def __init__(
        self,
        index: CatalogIndex,
        alone: Callable[[], bool] = lambda: True,
        *,
        grace_s: float | None = None,
        wait: Wait = time.sleep,
        on_progress: Callable[[int, int], None] = lambda rows, total: None,
    ) -> None:
        self._index = index
        self._alone = alone
        self._grace_s = grace_s
        self._wait = wait
        self._on_progress = on_progress
        self._writes_seen = -1

    def check(self) -> bool:
        """Repartition the catalog if it needs it; whether that was done."""
        writes = self._index.writes
        if writes == self._writes_seen:
            return False
        # Writes are remembered before we ask whether we are alone: who stops being alone after
        # that closes the index, which ends the copy.
        collection = self._index.begin_copy()
        try:
            if collection is None or not self._alone():
                return False
            items = collection.recent_count()
            needed = needs_repartition(items, collection.bank)
            if needed:
                prototypes = len(collection.bank)
                log.info("the catalog needs more prototypes", items=items, prototypes=prototypes)
                with self._index.changing():
                    repartition(
                        collection,
                        self._index.registry,
                        writer=self._index,
                        grace_s=self._grace_s,
                        wait=self._wait,
                        on_progress=lambda rows: self._on_progress(rows, items),
                    )
            self._writes_seen = writes
            return needed
        finally:
            self._index.end_copy()


async def _in_daemon_thread(job: Callable[[], object]) -> None:
    """Run a job in a thread whose end nobody waits for when the process leaves."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            job()
        except BaseException as caught:
            error = caught
        with suppress(RuntimeError):  # the loop has ended, and nobody waits
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=run, name="index-maintenance", daemon=True).start()
    await done
