"""How old an event is when a search can find what it changed."""

from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY

from stream.delivery import Delivery, Rejection, State
from stream.records import Record
from workers.ingest.worker import observe_freshness

NAME = "lookstream_freshness_seconds"
BUCKETS = ("0.05", "0.1", "0.2", "0.5", "1.0", "2.0", "5.0", "10.0", "30.0", "60.0", "300.0")
PRODUCED_MS = 1_700_000_000_000
NOW_S = PRODUCED_MS / 1000


def sample(kind: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"{NAME}_{kind}", {"worker": "ingest", **labels}) or 0.0


def below() -> dict[str, float]:
    """How many events were at most so old, by the bound of each bucket, in seconds."""
    return {bound: sample("bucket", le=bound) for bound in (*BUCKETS, "3600.0", "+Inf")}


async def delivered(*ages_s: float, ends: Sequence[State | Rejection | None] = ()) -> None:
    """Records that are so old when their batch has been written; `ends` are not applied."""
    records = [
        Record(
            topic="catalog",
            partition=0,
            offset=offset,
            key=b"p",
            value=b"",
            timestamp_ms=round(PRODUCED_MS - 1000 * age),
        )
        for offset, age in enumerate(ages_s)
    ]

    async def prepare(batch: Sequence[Record]) -> list[int | State | Rejection]:
        return [
            found if (found := dict(enumerate(ends)).get(one.offset)) else one.offset
            for one in batch
        ]

    async def write(changes: Sequence[int]) -> list[State]:
        return [State.APPLIED for _ in changes]

    async def refused(*_: object) -> None:
        return None

    result = await Delivery(prepare, write, refused).deliver(records)
    observe_freshness(result, NOW_S)


async def test_each_applied_event_is_in_the_bucket_of_its_age() -> None:
    before, count, total = below(), sample("count"), sample("sum")
    await delivered(0.04, 0.045, 0.15, 0.7, 45, 4000)
    grown = {bound: number - before[bound] for bound, number in below().items()}
    assert grown == {
        "0.05": 2,
        "0.1": 2,
        "0.2": 3,
        "0.5": 3,
        "1.0": 4,
        "2.0": 4,
        "5.0": 4,
        "10.0": 4,
        "30.0": 4,
        "60.0": 5,
        "300.0": 5,
        "3600.0": 5,
        "+Inf": 6,
    }
    assert sample("count") - count == 6
    assert sample("sum") - total == pytest.approx(0.04 + 0.045 + 0.15 + 0.7 + 45 + 4000)


async def test_what_changed_nothing_is_not_counted() -> None:
    count = sample("count")
    await delivered(
        1, 2, 3, ends=(State.SUPERSEDED, Rejection("it is no JSON", "CodecError"), None)
    )
    assert sample("count") - count == 1


async def test_a_producer_s_clock_that_is_ahead_counts_as_no_age() -> None:
    before, total = below(), sample("sum")
    await delivered(-3)
    assert below()["0.05"] - before["0.05"] == 1
    assert sample("sum") == total
