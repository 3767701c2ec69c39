"""A delete is remembered for a configured time by an injected clock, then forgotten when idle."""

import asyncio
import time
from contextlib import suppress
from types import SimpleNamespace

from index.errors import StoreUnavailable
from stream.delivery import State
from tests.doubles.colours import picture_uri
from tests.workers.ingest.test_steps import Shop, shop
from workers.ingest.tombstone_purge import purge_regularly

__all__ = ["shop"]

DAY_S = 24 * 3600.0


async def tended(shop: Shop, days_later: float, *, busy: bool = False) -> None:
    """Tend the graveyard a few times, at a moment that many days from now."""
    now = time.time_ns() + round(days_later * DAY_S * 1e9)
    idle = SimpleNamespace(busy=busy)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await purge_regularly(shop.steps, idle, 30 * DAY_S, clock_ns=lambda: now, every_s=0.05)


async def test_a_delete_is_remembered_so_long_and_no_longer(shop: Shop) -> None:
    apple = {"type": "upsert", "title": "apple", "image": picture_uri("red")}
    await shop.send(**apple, version=1)
    await shop.send(type="delete", version=3)
    await tended(shop, 29)
    assert shop.item().is_tombstone
    assert await shop.send(**apple, version=2) is State.SUPERSEDED
    await tended(shop, 31, busy=True)
    assert shop.item().is_tombstone, "purged beside a batch"
    await tended(shop, 31)
    assert shop.index.stored(["p"]) == []
    assert await shop.send(**apple, version=2) is State.APPLIED


async def test_the_living_are_left_alone(shop: Shop) -> None:
    await shop.send(type="upsert", title="apple", image=picture_uri("red"))
    before = shop.index.content_hash()
    await tended(shop, 1000)
    assert shop.index.content_hash() == before


async def test_an_index_that_is_away_is_asked_again() -> None:
    asked: list[int] = []

    class Away:
        async def purge_tombstones(self, before_ns: int) -> int:
            asked.append(before_ns)
            raise StoreUnavailable("away")

    idle = SimpleNamespace(busy=False)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            await purge_regularly(Away(), idle, 5.0, clock_ns=lambda: 10**10, every_s=0.02)
    assert len(asked) > 2
    assert set(asked) == {5 * 10**9}
