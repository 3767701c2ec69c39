"""Delivery with a store of our own making: any mix of poison and bad luck, exactly once each."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.delivery import BatchResult, Delivery, Partial, Record, Rejection, Retry, State
from stream.errors import Permanent, StreamError, Transient

NO_WAIT = Retry(first_s=0, max_s=0)
# What becomes of a record: ok, old, or which step refuses it and how.
FATES = ["ok", "old", "undecodable", "rejected by store", "poison to prepare", "poison to write"]


def record(offset: int, fate: str) -> Record:
    return Record(
        topic="t", partition=0, offset=offset, key=b"k", value=fate.encode(), timestamp_ms=0
    )


class UnreliableStore:
    """Both steps and the dead-letter topic; `luck` says which calls fail in passing."""

    def __init__(self, luck: Sequence[bool] = ()) -> None:
        self.luck = iter(luck)
        self.applied: list[int] = []
        self.letters: list[tuple[int, str, int]] = []

    def stumble(self) -> None:
        if next(self.luck, False):
            raise Transient("in a moment")

    async def prepare(self, records: Sequence[Record]) -> list[Record | Rejection]:
        self.stumble()
        if any(r.value == b"poison to prepare" for r in records):
            raise Permanent("poison to prepare")
        return [
            Rejection("undecodable", "DecodeError") if r.value == b"undecodable" else r
            for r in records
        ]

    async def write(self, records: Sequence[Record]) -> list[State | Rejection]:
        self.stumble()
        if any(r.value == b"poison to write" for r in records):
            raise Permanent("poison to write")
        self.applied += [r.offset for r in records if r.value == b"ok"]
        ends: dict[bytes | None, State | Rejection] = {
            b"ok": State.APPLIED,
            b"old": State.SUPERSEDED,
        }
        return [ends.get(r.value, Rejection("rejected by store", "RowRejected")) for r in records]

    async def bury(self, letter: Record, rejection: Rejection, attempts: int) -> None:
        self.stumble()
        self.letters.append((letter.offset, rejection.reason, attempts))

    def deliver(self, *fates: str) -> BatchResult:
        delivery = Delivery(self.prepare, self.write, self.bury, NO_WAIT)
        return asyncio.run(delivery.deliver([record(i, fate) for i, fate in enumerate(fates)]))


@given(st.lists(st.sampled_from(FATES), max_size=40), st.lists(st.booleans(), max_size=30))
def test_exactly_the_poison_is_dead_lettered_and_order_is_kept(
    fates: list[str], luck: list[bool]
) -> None:
    store = UnreliableStore(luck)
    result = store.deliver(*fates)
    fine = {"ok", "old"}
    assert store.applied == [i for i, fate in enumerate(fates) if fate == "ok"]
    assert [(i, reason) for i, reason, _ in store.letters] == [
        (i, fate) for i, fate in enumerate(fates) if fate not in fine
    ]
    assert result == BatchResult(
        applied=fates.count("ok"),
        superseded=fates.count("old"),
        dead_lettered=sum(fate not in fine for fate in fates),
    )
    assert result.total == len(fates)


def test_attempts_count_retries_and_bisections() -> None:
    store = UnreliableStore([True, True, False])
    store.deliver("undecodable")
    assert store.letters == [(0, "undecodable", 3)]
    store = UnreliableStore()
    store.deliver("ok", "ok", "ok", "poison to write")
    assert store.letters == [(3, "poison to write", 3)]  # with 4, with 2, alone


@pytest.mark.parametrize("step", ["prepare", "write", "bury"])
def test_the_unexpected_goes_through(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def burst(*_: object) -> None:
        raise ZeroDivisionError

    store = UnreliableStore()
    monkeypatch.setattr(store, step, burst)
    with pytest.raises(ZeroDivisionError):
        store.deliver("ok", "rejected by store")


async def test_a_step_that_loses_a_record_is_caught() -> None:
    async def forgetful(records: Sequence[Record]) -> list[Record | Rejection]:
        return list(records[1:])

    store = UnreliableStore()
    delivery = Delivery(forgetful, store.write, store.bury, NO_WAIT)
    with pytest.raises(StreamError, match="1 outcomes for 2 records"):
        await delivery.deliver([record(0, "ok"), record(1, "ok")])


async def test_waiting_for_the_store_can_be_cancelled() -> None:
    async def down(_: Sequence[Record]) -> list[State | Rejection]:
        raise Transient("down for good")

    store = UnreliableStore()
    delivery = Delivery(store.prepare, down, store.bury, Retry(first_s=0.01, max_s=0.01))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(delivery.deliver([record(0, "ok")]), 0.2)
    assert store.letters == []


async def test_what_is_applied_in_part_has_a_letter_too() -> None:
    store = UnreliableStore()
    why = Rejection("one picture is missing", "PartialProduct")

    async def write(records: Sequence[Record]) -> list[State | Partial | Rejection]:
        return [Partial(why) if r.offset == 1 else State.APPLIED for r in records]

    delivery = Delivery(store.prepare, write, store.bury, NO_WAIT)
    result = await delivery.deliver([record(offset, "ok") for offset in range(3)])
    assert result == BatchResult(applied=3, partial=1)
    assert result.total == 3
    assert store.letters == [(1, "one picture is missing", 1)]


def test_tallies_add_up() -> None:
    first = BatchResult(applied=1, superseded=2, dead_lettered=3)
    assert first + first == BatchResult(applied=2, superseded=4, dead_lettered=6)
