"""A consumer in step with its group: what happens to a batch when partitions change hands."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from stream import faust_consumer
from stream.delivery import Delivery, Record, Rejection, Retry, State
from stream.errors import Transient
from stream.faust_consumer import consume


class Signal:
    """A signal of Faust's app."""

    def __init__(self) -> None:
        self.handlers: list[Any] = []
        self.connect = self.handlers.append
        self.disconnect = self.handlers.remove

    async def send(self) -> None:
        for handler in self.handlers:
            await handler(None, set())


class App:
    """The part of a Faust app that a consumer uses."""

    def __init__(self) -> None:
        self.on_partitions_revoked = Signal()
        self.on_partitions_assigned = Signal()
        self.on_before_shutdown = Signal()
        self.consumer_generation_id = 1
        self.consumer = self
        self.happened: list[Any] = []

    async def commit(self) -> None:
        if self.happened[-1:] != ["commit"]:
            self.happened.append("commit")

    async def assign(self) -> None:
        self.consumer_generation_id += 1
        await self.on_partitions_assigned.send()


class Stream:
    """A stream of batches, put by hand."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.batches: asyncio.Queue[list[Any]] = asyncio.Queue()

    def put(self, *offsets: int) -> None:
        app, generation = self.app, self.app.consumer_generation_id
        self.batches.put_nowait([_event(app, offset, generation) for offset in offsets])

    async def noack_take(self, _most: int, within: float) -> AsyncIterator[list[Any]]:
        while True:
            yield await self.batches.get()


def _event(app: App, offset: int, generation: int) -> Any:
    message = SimpleNamespace(
        topic="t",
        partition=0,
        offset=offset,
        key=b"k",
        value=b"v",
        timestamp=0.0,
        headers=(),
        generation_id=generation,
    )
    return SimpleNamespace(message=message, ack=lambda: app.happened.append(("ack", offset)))


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


@asynccontextmanager
async def consuming_app() -> AsyncIterator[tuple[App, Stream, Sink]]:
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
        stale = _event(app, 7, generation=0)
        stream.batches.put_nowait([stale, _event(app, 3, app.consumer_generation_id)])
        await settled()
        assert app.happened == [("write", 3), ("ack", 3)]


async def test_a_store_that_is_away_does_not_hold_up_the_group() -> None:
    async with consuming_app() as (app, stream, sink):
        sink.away = True
        stream.put(1)
        await settled()
        assert app.happened.count("away") > 1
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
