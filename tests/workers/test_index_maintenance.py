"""Beside the batches: old tombstones go by an injected clock, prototypes are added on a copy."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from index.errors import MilvusUnavailable, RepartitionCancelled
from index.item import Item, tombstone
from index.lifecycle import repartition as repartition_module
from index.lifecycle.switch import GRACE_S
from index.milvus.collection import Collection
from stream.delivery import State
from tests.doubles.colours import picture_uri
from tests.workers.ingest.test_steps import Shop, shop
from workers.catalog_index import CatalogIndex, open_catalog
from workers.config.settings import Settings
from workers.evidence.weigh import WEIGH_EVERY_S
from workers.index_maintenance import (
    MAX_WAIT_S,
    PAUSE_S,
    POLL_S,
    Repartitioning,
    maintain,
    purge_tombstones,
    wait_for_batch,
)
from workers.ingest.worker import _maintenance

__all__ = ["shop"]

DAY_S = 24 * 3600.0
DIM = 8


class Sleeper:
    """Takes no time, notes what was slept, and ends the loop after so many times."""

    def __init__(self, times: int) -> None:
        self.slept: list[float] = []
        self._times = times

    async def __call__(self, seconds: float) -> None:
        if len(self.slept) == self._times:
            raise asyncio.CancelledError
        self.slept.append(seconds)


async def maintained(
    job: Callable[[], object], times: int, *, busy: bool = False, every_s: float = 5.0
) -> list[float]:
    """Let a job be done until it has been slept so many times; what was slept."""
    sleeper, delivery = Sleeper(times), SimpleNamespace(busy=busy)
    with pytest.raises(asyncio.CancelledError):
        await maintain(job, delivery, every_s=every_s, sleep=sleeper)
    return sleeper.slept


# The mechanism.


async def test_a_job_is_done_regularly_and_again_after_a_failure() -> None:
    done: list[str] = []

    def job() -> None:
        done.append(threading.current_thread().name)
        errors = [
            None,
            MilvusUnavailable("away"),
            RepartitionCancelled("joined"),
            KeyError("a bug"),
        ]
        if error := errors[len(done) % len(errors)]:
            raise error

    assert await maintained(job, 8) == [5.0] * 8
    assert done == ["index-maintenance"] * 8


async def test_it_waits_for_a_moment_between_batches_but_not_for_ever() -> None:
    done: list[int] = []
    looks = round(MAX_WAIT_S / POLL_S)
    assert await maintained(lambda: done.append(1), looks, busy=True) == [5.0] + [POLL_S] * (
        looks - 1
    )
    assert done == []
    await maintained(lambda: done.append(1), looks + 3, busy=True)
    assert done == [1]


async def test_nobody_waits_for_a_job_when_the_worker_leaves() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        may_end.wait(30)

    task = asyncio.create_task(maintain(job, SimpleNamespace(busy=False), every_s=0))
    await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(t.daemon for t in threading.enumerate() if t.name == "index-maintenance")
    may_end.set()


def test_a_long_job_lets_a_batch_go_first_but_not_for_ever() -> None:
    delivery = SimpleNamespace(busy=True)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        delivery.busy = len(slept) != 3

    wait_for_batch(delivery, sleep)
    assert len(slept) == 3
    wait_for_batch(delivery, sleep)
    assert len(slept) == 3
    delivery.busy = True
    wait_for_batch(delivery, slept.append)
    assert sum(slept[3:]) == pytest.approx(PAUSE_S)


def test_one_of_several_workers_weighs_the_catalog_and_lets_batches_go_first() -> None:
    leads, paused = False, []

    def check(pause: Callable[[], None]) -> bool:
        pause()
        paused.append(delivery.busy)
        return True

    delivery: Any = SimpleNamespace(busy=False)
    assignment: Any = SimpleNamespace(leads=lambda: leads, alone=lambda: True)
    weighing: Any = SimpleNamespace(check=check)
    index: Any = SimpleNamespace()
    succession: Any = SimpleNamespace()
    jobs = list(_maintenance(Settings(), index, assignment, weighing, delivery, succession))
    job, every_s = jobs[-1]
    assert every_s == WEIGH_EVERY_S
    assert not job()
    leads = True
    assert job()
    assert paused == [False]
    assert (
        len(list(_maintenance(Settings(), index, assignment, None, delivery, succession)))
        == len(jobs) - 1
    )


# Tombstones.


async def purged(shop: Shop, days_later: float, *, busy: bool = False) -> None:
    """What maintenance leaves at a moment that many days from now."""
    now = time.time_ns() + round(days_later * DAY_S * 1e9)
    await maintained(lambda: purge_tombstones(shop.index, 30 * DAY_S, lambda: now), 3, busy=busy)


async def test_a_delete_is_remembered_so_long_and_no_longer(shop: Shop) -> None:
    apple = {"type": "upsert", "title": "apple", "image": picture_uri("red")}
    await shop.send(**apple, version=1)
    await shop.send(type="delete", version=3)
    await purged(shop, 29)
    assert shop.item().is_tombstone
    assert await shop.send(**apple, version=2) is State.SUPERSEDED
    await purged(shop, 31, busy=True)
    assert shop.item().is_tombstone, "purged during a batch"
    await purged(shop, 31)
    assert shop.index.stored(["p"]) == []
    assert await shop.send(**apple, version=2) is State.APPLIED


async def test_products_that_are_there_are_left_alone(shop: Shop) -> None:
    await shop.send(type="upsert", title="apple", image=picture_uri("red"))
    before = shop.index.content_hash()
    await purged(shop, 1000)
    assert shop.index.content_hash() == before


async def test_an_index_that_is_away_is_asked_again() -> None:
    asked: list[int] = []

    class Away:
        def purge_tombstones(self, before_ns: int) -> int:
            asked.append(before_ns)
            raise MilvusUnavailable("away")

    index: Any = Away()
    await maintained(lambda: purge_tombstones(index, 5.0, lambda: 10**10), 4)
    assert asked == [5 * 10**9] * 4


# Repartitioning.


@pytest.fixture
def index(tmp_path: Path) -> Iterator[CatalogIndex]:
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"}}
    )
    index = CatalogIndex(settings, "m")
    yield index
    index.close()


def item(number: int, title: str = "") -> Item:
    vector = np.random.default_rng(number).standard_normal(DIM).astype(np.float32)
    return Item(
        item_id=f"p{number}#0",
        product_id=f"p{number}",
        prototype=0,
        vector=vector / np.linalg.norm(vector),
        payload={"title": title},
    )


def grown(index: CatalogIndex) -> str:
    """Write a catalog that needs more prototypes than it has; its content hash."""
    index.write([item(0)])
    index.write([item(number) for number in range(30)])
    return index.content_hash()


class Held:
    """A copy that waits, once, until it is let go on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        assigned = repartition_module.assigned

        def waiting(items: list[Item], bank: Any) -> list[Item]:
            self.hold()
            return assigned(items, bank)

        patch.setattr(repartition_module, "assigned", waiting)

    def hold(self) -> None:
        if not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(60)


def in_a_thread(job: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(job())
        except RepartitionCancelled as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def no_wait(_seconds: float) -> None:
    pass


def test_it_is_done_when_the_catalog_has_grown_and_only_then(index: CatalogIndex) -> None:
    repartitioning = Repartitioning(index, wait=no_wait)
    assert not repartitioning.check(), "there is nothing yet"
    index.write([item(0)])
    assert not repartitioning.check()
    before = grown(index)
    collection = index.opened()
    assert collection is not None
    collection._counted_at = -np.inf  # ten seconds later
    assert repartitioning.check()
    assert index.content_hash() == before
    after = index.opened()
    assert after is not None
    assert len(after.bank) == 5
    assert after.generations() == [after.generation]
    assert not repartitioning.check()


def test_nothing_is_done_while_others_write(index: CatalogIndex) -> None:
    alone = False
    grown(index)
    bank = index.bank_version()
    repartitioning = Repartitioning(index, alone=lambda: alone, wait=no_wait)
    assert not repartitioning.check()
    assert index.bank_version() == bank
    alone = True
    assert repartitioning.check()
    assert index.bank_version() != bank


def test_writes_go_on_during_the_copy_and_the_grace_time(
    index: CatalogIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(index)
    held, bank = Held(monkeypatch), index.bank_version()
    grace_begun, grace_over = threading.Event(), threading.Event()

    def wait(seconds: float) -> None:
        assert seconds == GRACE_S
        grace_begun.set()
        assert grace_over.wait(60)

    thread, outcome = in_a_thread(Repartitioning(index, wait=wait).check)
    assert held.reached.wait(60)
    index.write([item(3, "changed"), item(31), tombstone("p4#0", "p4", DIM, {})])
    index.write([item(6, "changed")], [item(5)])
    assert index.bank_version() == bank
    held.go_on.set()
    assert grace_begun.wait(60)
    assert index.bank_version() != bank
    index.write([item(7, "during the grace time")])
    grace_over.set()
    thread.join(60)
    assert outcome == [True]
    stored = {one.product_id: one for one in index.stored([f"p{n}" for n in range(32)])}
    assert stored["p3"].payload == stored["p6"].payload == {"title": "changed"}
    assert stored["p7"].payload == {"title": "during the grace time"}
    assert stored["p4"].is_tombstone
    assert "p5" not in stored
    assert "p31" in stored
    assert index.count() == 29
    written = index.content_hash()
    index.close()
    assert index.content_hash() == written, "it is what a process that starts now finds"


def test_a_copy_ends_when_products_may_have_changed_hands(
    index: CatalogIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = grown(index)
    held, bank = Held(monkeypatch), index.bank_version()
    thread, outcome = in_a_thread(Repartitioning(index, wait=no_wait).check)
    assert held.reached.wait(60)
    index.close()  # as when partitions are revoked
    held.go_on.set()
    thread.join(60)
    assert isinstance(outcome[0], RepartitionCancelled)
    assert index.bank_version() == bank
    assert index.content_hash() == before
    assert Repartitioning(index, wait=no_wait).check(), "and it is done when they have come back"
    assert index.content_hash() == before


def test_a_switch_whose_answer_was_lost_is_found_by_the_next_write(
    index: CatalogIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is written until the alias is looked at again would go to the old generation."""
    grown(index)
    bank, publish = index.bank_version(), Collection.publish

    def lost(collection: Collection, name: str | None = None) -> None:
        publish(collection, name)
        raise MilvusUnavailable("no answer in time")

    with monkeypatch.context() as patch:
        patch.setattr(Collection, "publish", lost)
        with pytest.raises(MilvusUnavailable):
            Repartitioning(index, wait=no_wait).check()
    index.write([item(3, "changed")])
    assert index.bank_version() != bank
    with open_catalog(index._settings)[0] as collection:
        (found,) = collection.get(["p3"])
    assert found.payload == {"title": "changed"}
