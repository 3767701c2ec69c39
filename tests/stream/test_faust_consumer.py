"""A consumer in step with its group: what happens to a batch when partitions change hands."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import pytest

from stream import faust_consumer
from stream.delivery import Delivery, Record, Rejection, Retry, State
from stream.errors import Transient
from stream.faust_consumer import Limits, consume
from stream.parking import Begun
from tests.doubles.faust_stream import App, Stream, event


class Sink:
    """A store that can be slow or away."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.open = asyncio.Event()
        self.open.set()
        self.away = False

    async def prepare(self, records: Sequence[Record]) -> list[int | Rejection]:
        return [record.offset for record in records]

    async def write(self, offsets: Sequence[int]) -> list[State]:
        await self.open.wait()
        if self.away:
            self._app.happened.append("away")
            raise Transient("the store is away")
        self._app.happened.append(("write", *offsets))
        return [State.APPLIED] * len(offsets)


class Left(BaseException):
    """The process left."""


def exit_process() -> NoReturn:
    raise Left


async def no_letters(*_: Any) -> None:
    raise AssertionError


class Pictures:
    """What records wait for: those of odd offsets for a picture; their key is offset // 10."""

    def __init__(self) -> None:
        self.arriving: dict[int, asyncio.Future[None]] = {}
        self.dropped: list[int] = []

    def begin(self, records: Sequence[Record]) -> list[Begun]:
        loop = asyncio.get_running_loop()
        begun = []
        for record in records:
            future = loop.create_future() if record.offset % 2 else None
            if future is not None:
                self.arriving[record.offset] = future
            begun.append(Begun(record.offset // 10, future))
        return begun

    def drop(self, records: Sequence[Record]) -> None:
        self.dropped += [record.offset for record in records]


@asynccontextmanager
async def consuming_app(
    pictures: Pictures | None = None, **limits: int
) -> AsyncIterator[tuple[App, Stream, Sink]]:
    app = App()
    stream, sink = Stream(app), Sink(app)
    delivery = Delivery(sink.prepare, sink.write, no_letters, Retry(first_s=0.01, max_s=0.02))

    async def assigned() -> None:
        app.happened.append("assigned")

    async def revoked() -> None:
        app.happened.append("revoked")

    body = consume(
        stream,  # type: ignore[arg-type]
        delivery,
        limits=Limits(**limits),
        prefetch=pictures,
        on_assigned=assigned,
        on_revoked=revoked,
        exit_process=exit_process,
    )
    task = asyncio.create_task(body)
    await settled()
    yield app, stream, sink
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not app.on_partitions_revoked.handlers


async def settled() -> None:
    await asyncio.sleep(0.02)


async def test_a_batch_ends_and_is_committed_before_its_partitions_go() -> None:
    async with consuming_app() as (app, stream, sink):
        sink.open.clear()
        stream.put(1, 2)
        await settled()
        revoking = asyncio.create_task(app.on_partitions_revoked.send())
        await settled()
        assert not revoking.done()
        sink.open.set()
        await revoking
        assert app.happened == [("write", 1, 2), ("ack", 1), ("ack", 2), "revoked", "commit"]


async def test_what_was_read_before_is_thrown_away_and_nothing_begins_between() -> None:
    async with consuming_app() as (app, stream, _):
        await app.on_partitions_revoked.send()
        stream.put(1, 2)
        await settled()
        assert app.happened == ["revoked", "commit"]
        await app.assign()
        stream.put(1)
        await settled()
        assert app.happened == ["revoked", "commit", "assigned", ("write", 1), ("ack", 1)]


async def test_events_of_two_generations_in_one_batch() -> None:
    async with consuming_app() as (app, stream, _):
        stale = event(app, 7, generation=0)
        stream.batches.put_nowait([stale, event(app, 3, app.consumer_generation_id)])
        await settled()
        assert app.happened == [("write", 3), ("ack", 3)]


async def test_a_store_that_is_away_does_not_hold_up_the_group() -> None:
    async with consuming_app() as (app, stream, sink):
        sink.away = True
        stream.put(1)
        async with asyncio.timeout(10):
            while app.happened.count("away") < 2:
                await settled()
        await app.on_partitions_revoked.send()
        tries = app.happened.count("away")
        await settled()
        assert app.happened.count("away") == tries
        assert ("ack", 1) not in app.happened
        sink.away = False
        await app.assign()
        stream.put(1)
        await settled()
        assert app.happened[-2:] == [("write", 1), ("ack", 1)]


async def test_a_record_that_waits_delays_only_those_of_its_key() -> None:
    pictures = Pictures()
    async with consuming_app(pictures) as (app, stream, _):
        stream.put(0, 1, 2, 10)  # 2 is behind 1, 10 is not
        stream.put(12, 20)
        await settled()
        assert app.happened == [("write", 0, 10), ("ack", 0), ("write", 12, 20)]
        pictures.arriving[1].set_result(None)
        await settled()
        written = [("write", 1, 2), *(("ack", offset) for offset in (1, 2, 10, 12, 20))]
        assert app.happened[3:] == written
        assert sorted(pictures.dropped) == [0, 1, 2, 10, 12, 20]


async def test_what_is_parked_is_bounded() -> None:
    pictures = Pictures()
    async with consuming_app(pictures, max_parked=2) as (app, stream, _):
        for offset in (1, 11, 20, 30):
            stream.put(offset)
        await settled()
        assert app.happened == []
        assert stream.batches.qsize() == 1  # 20 was taken from the stream and waits for room
        pictures.arriving[11].set_result(None)
        await settled()
        assert app.happened == [("write", 11), ("write", 20), ("write", 30)]


async def test_what_is_not_acked_behind_it_is_bounded() -> None:
    pictures = Pictures()
    async with consuming_app(pictures, max_unacked=3) as (app, stream, _):
        for offset in (1, 10, 20, 30, 40):
            stream.put(offset)
        await settled()
        assert app.happened == [("write", 10), ("write", 20)]
        pictures.arriving[1].set_result(None)
        await settled()
        assert [what for what in app.happened if what[0] == "ack"] == [
            ("ack", offset) for offset in (1, 10, 20, 30, 40)
        ]


@pytest.mark.parametrize("signal", ["on_partitions_revoked", "on_before_shutdown"])
async def test_what_is_parked_is_not_acked_and_comes_again(signal: str) -> None:
    pictures = Pictures()
    async with consuming_app(pictures) as (app, stream, _):
        stream.put(0, 1, 10)
        await settled()
        await getattr(app, signal).send()
        assert pictures.arriving[1].cancelled()
        assert sorted(pictures.dropped) == [0, 1, 10]
        await app.assign()
        stream.put(1, 10)
        await settled()
        pictures.arriving[1].set_result(None)
        await settled()
        acks = [what for what in app.happened if what[0] == "ack"]
        assert acks == [("ack", 0), ("ack", 1), ("ack", 10)]


async def test_a_wait_that_fails_is_for_delivery_to_see() -> None:
    pictures = Pictures()
    async with consuming_app(pictures) as (app, stream, _):
        stream.put(1)
        await settled()
        pictures.arriving[1].set_exception(RuntimeError("the decoders are gone"))
        await settled()
        assert app.happened == [("write", 1), ("ack", 1)]


@pytest.mark.parametrize("signal", ["on_partitions_revoked", "on_before_shutdown"])
async def test_a_batch_that_does_not_end_ends_the_process(
    signal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faust_consumer, "INTERRUPT_S", 0.05)
    monkeypatch.setattr(faust_consumer, "FINISH_S", 0.05)
    async with consuming_app() as (app, stream, sink):
        sink.open.clear()
        stream.put(1)
        await settled()
        with pytest.raises(Left):
            await getattr(app, signal).send()
        assert app.happened == []


async def test_the_last_batch_ends_before_the_process_does() -> None:
    async with consuming_app() as (app, stream, sink):
        sink.open.clear()
        stream.put(1)
        await settled()
        stopping = asyncio.create_task(app.on_before_shutdown.send())
        stream.put(2)
        await settled()
        sink.open.set()
        await stopping
        await settled()
        assert app.happened == [("write", 1), ("ack", 1), "revoked"]
