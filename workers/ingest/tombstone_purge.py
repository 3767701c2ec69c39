"""Deleted products are remembered for a while, then forgotten, at moments with nothing else to do.

A tombstone is what stops a late upsert from raising the dead. How late an event may be is for the
shop to say (`ingest.remember_deletes_s`); kept for ever, the dead would outnumber the living.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from index.errors import StoreError

# Reading the tombstones costs one query; nobody waits for their end.
EVERY_S = 300.0
BETWEEN_BATCHES_S = 0.05

log = structlog.get_logger()


class TombstoneIndex(Protocol):
    """Who may remove tombstones: the ingest worker."""

    async def purge_tombstones(self, before_ns: int) -> int:
        """Remove those written before a time (ns since the epoch); how many."""


class Busy(Protocol):
    """What is not to be held up: a `stream.delivery.Delivery`."""

    busy: bool


async def purge_regularly(
    keeper: TombstoneIndex,
    delivery: Busy,
    remember_s: float,
    *,
    clock_ns: Callable[[], int] = time.time_ns,
    every_s: float = EVERY_S,
) -> None:
    """Every `every_s` seconds, forget deletes older than `remember_s`; runs until cancelled.

    Waits for a moment between two batches. An index that does not answer is asked again later.
    """
    while True:
        await asyncio.sleep(every_s)
        while delivery.busy:  # noqa: ASYNC110 - batches come and go, and tell nobody
            await asyncio.sleep(BETWEEN_BATCHES_S)
        try:
            forgotten = await keeper.purge_tombstones(clock_ns() - round(remember_s * 1e9))
        except StoreError as error:
            log.warning("old deletes are still remembered", why=str(error))
        else:
            if forgotten:
                log.info("old deletes forgotten", rows=forgotten)
