"""The watch ends a process whose consumer stalls, and no other."""

import asyncio
from collections.abc import Sequence
from typing import NoReturn

import pytest

from stream.connection import Kafka
from stream.delivery import Delivery, Record, Rejection, State
from stream.publisher import Publisher
from stream.stall_watchdog import watch_for_stall
from stream.topics import Topics


class Left(Exception):
    """The process would have ended here."""


def exit_process() -> NoReturn:
    raise Left


async def keep(records: Sequence[Record]) -> list[Record | Rejection]:
    return list(records)


async def apply(records: Sequence[Record]) -> list[State | Rejection]:
    return [State.APPLIED] * len(records)


async def bury(*_: object) -> None: ...


async def leaves(
    kafka: Kafka, topics: Topics, delivery: Delivery[Record], assigned: set[int]
) -> bool:
    """Whether the process was left within two seconds."""
    task = watch_for_stall(
        kafka,
        f"watched-{topics.click.name}",
        topics.click.name,
        delivery,
        assigned=lambda: assigned,
        stuck_s=0.3,
        every_s=0.1,
        exit_process=exit_process,
    )
    try:
        await asyncio.wait_for(task, 2)
    except Left:
        return True
    except TimeoutError:
        return False
    raise AssertionError("the watch ended")


@pytest.fixture
def waiting(kafka: Kafka, topics: Topics) -> None:
    """Records that nobody has committed, in every partition, in more than one batch."""
    with Publisher(kafka) as publisher:
        for i in range(200):
            publisher.publish(topics.click.name, f"k{i}", b"v")
            if i % 50 == 0:
                publisher.flush()


@pytest.mark.usefixtures("waiting")
async def test_a_stalled_consumer_leaves(kafka: Kafka, topics: Topics) -> None:
    delivery = Delivery(keep, apply, bury)
    assert await leaves(kafka, topics, delivery, {0, 1})


@pytest.mark.usefixtures("waiting")
async def test_partitions_of_others_do_not_matter(kafka: Kafka, topics: Topics) -> None:
    assert not await leaves(kafka, topics, Delivery(keep, apply, bury), set())


async def test_an_idle_consumer_stays(kafka: Kafka, topics: Topics) -> None:
    assert not await leaves(kafka, topics, Delivery(keep, apply, bury), {0, 1})


@pytest.mark.usefixtures("waiting")
async def test_one_that_waits_for_its_store_stays(kafka: Kafka, topics: Topics) -> None:
    async def hang(_: Sequence[Record]) -> list[State | Rejection]:
        await asyncio.sleep(60)
        return []

    delivery = Delivery(keep, hang, bury)
    record = Record(topic="t", partition=0, offset=0, key=None, value=b"", timestamp_ms=0)
    task = asyncio.create_task(delivery.deliver([record]))
    assert not await leaves(kafka, topics, delivery, {0, 1})
    task.cancel()
