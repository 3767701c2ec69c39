"""Records that wait delay only those of their key, and nothing is acked before its turn."""

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from stream.parking import Begun, Parking
from stream.records import Record


def record(partition: int, offset: int) -> Record:
    return Record(
        topic="t", partition=partition, offset=offset, key=None, value=b"v", timestamp_ms=0
    )


records = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from("abc"), st.booleans()), min_size=1, max_size=25
)


@given(records, st.integers(0, 2**32))
def test_any_records_in_any_order_of_arrival(taken: list[tuple[int, str, bool]], seed: int) -> None:
    asyncio.run(run(list(taken), random.Random(seed)))


async def run(taken: list[tuple[int, str, bool]], chance: random.Random) -> None:
    loop = asyncio.get_running_loop()
    parking = Parking[Record]()
    arriving: list[asyncio.Future[None]] = []
    key_of: dict[str, str] = {}
    next_offset = [0, 0]
    delivered: list[Record] = []
    acked: list[Record] = []
    order: list[Record] = []
    while taken or len(delivered) < len(order):
        step = chance.choice(["take", "arrive", "deliver"])
        if step == "take" and taken:
            partition, key, waits = taken.pop(0)
            one = record(partition, next_offset[partition])
            next_offset[partition] += 1
            future = loop.create_future() if waits else None
            if future is not None:
                arriving.append(future)
            parking.add(one, one, Begun((partition, key), future))
            key_of[one.source] = f"{partition}{key}"
            order.append(one)
        elif step == "arrive" and arriving:
            arriving.pop(chance.randrange(len(arriving))).set_result(None)
        elif step == "deliver":
            size = chance.randint(1, 4)
            delivered += [slot.record for slot in parking.deliver(size)]
            acked += parking.end()
        waiting = len(order) - len(delivered)
        assert parking.parked + len(parking.ready(len(order))) == waiting
        assert parking.unacked == len(order) - len(acked)
        check(order, delivered, acked, key_of)
    assert len(acked) == len(order)


def check(
    order: list[Record], delivered: list[Record], acked: list[Record], key_of: dict[str, str]
) -> None:
    for key in set(key_of.values()):
        of_key = [one for one in order if key_of[one.source] == key]
        done = [one for one in delivered if key_of[one.source] == key]
        assert done == of_key[: len(done)]
    sources = {one.source for one in delivered}
    for partition in (0, 1):
        offsets = [one.offset for one in acked if one.partition == partition]
        assert offsets == list(range(len(offsets)))
    assert {one.source for one in acked} <= sources
    # And no later than it may be.
    for partition in (0, 1):
        first = next(
            (o.offset for o in order if o.partition == partition and o.source not in sources), None
        )
        if first is not None:
            assert sum(one.partition == partition for one in acked) == first


async def test_what_is_forgotten_is_cancelled_and_never_acked() -> None:
    parking = Parking[int]()
    future = asyncio.get_running_loop().create_future()
    for offset, begun in enumerate((Begun("a"), Begun("b", future), Begun("b"), Begun("c"))):
        parking.add(offset, record(0, offset), begun)
    assert [slot.event for slot in parking.deliver(1)] == [0]
    assert [one.offset for one in parking.clear()] == [0, 1, 2, 3]
    assert future.cancelled()
    assert parking.end() == []
    assert (parking.parked, parking.unacked, parking.ready(9)) == (0, 0, [])


async def test_what_waits_to_be_acked_holds_no_content() -> None:
    parking = Parking[int]()
    future = asyncio.get_running_loop().create_future()
    parking.add(0, record(0, 0), Begun("a", future))
    parking.add(1, record(0, 1), Begun("b"))
    [slot] = parking.deliver(9)
    assert parking.end() == []
    assert slot.record.value is None
    assert parking.unacked == 2
