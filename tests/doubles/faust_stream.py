"""A Faust app and a stream of it, without Kafka: batches are put by hand, acks are noted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from stream.records import Record


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
        """Bring records of no content."""
        app, generation = self.app, self.app.consumer_generation_id
        self.batches.put_nowait([event(app, offset, generation) for offset in offsets])

    def bring(self, *records: Record) -> None:
        """Bring these records."""
        app, generation = self.app, self.app.consumer_generation_id
        self.batches.put_nowait(
            [
                event(app, one.offset, generation, one.value, one.partition, one.timestamp_ms)
                for one in records
            ]
        )

    async def noack_take(self, _most: int, within: float) -> AsyncIterator[list[Any]]:
        while True:
            yield await self.batches.get()


def event(
    app: App,
    offset: int,
    generation: int,
    value: bytes | None = b"v",
    partition: int = 0,
    timestamp_ms: int = 0,
) -> Any:
    """An event of a Faust stream."""
    message = SimpleNamespace(
        topic="t",
        partition=partition,
        offset=offset,
        key=b"k",
        value=value,
        timestamp=timestamp_ms / 1000,
        headers=(),
        generation_id=generation,
    )
    return SimpleNamespace(message=message, ack=lambda: app.happened.append(("ack", offset)))
