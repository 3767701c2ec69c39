"""Queries between being taken and being answered: each is answered as soon as it is ready.

The consumer loop runs in a thread of its own and hands over what it takes. Here, in an event loop,
each query waits for its own picture; those that are ready are searched and answered in small
batches, and the others stay unfinished for the consumer loop, which commits nothing after them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from stream.consumer_loop import Offsets
from stream.in_flight import InFlight
from stream.messages import Result
from stream.records import Record
from workers.config.sections import QuerySettings
from workers.deploy.telemetry import IN_FLIGHT
from workers.query.follow import FollowingPipeline
from workers.query.prepared import PreparedQuery, RejectedQuery
from workers.query.steps import QueryPipeline

DRAIN_S = 2.0
"""How long what is under way may take to end when the worker stops."""
POLL_S = 0.02
FOLLOW_EVERY_S = 0.1
"""How long after the last query the table takes in what was written, and again; a query that comes
meanwhile waits some 40 ms at most."""
WARM_EVERY_S = 1.0
"""How often an index is looked for where there was none, or it did not answer, at the start."""

Publish = Callable[[Sequence[Result | RejectedQuery]], None]


class AnswerLoop:
    """Takes queries from a consumer loop; make it where the event loop runs.

    `publish` returns when the answers are durable. `take`, `room` and `drain` are for the consumer
    loop, in whatever thread it runs.
    """

    def __init__(
        self, pipeline: QueryPipeline | FollowingPipeline, publish: Publish, settings: QuerySettings
    ) -> None:
        self._pipeline = pipeline
        self._publish = publish
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Queue[PreparedQuery | RejectedQuery | None]()
        self._preparing: set[asyncio.Task[None]] = set()
        self._in_flight = InFlight()
        self._failure: Exception | None = None
        self._warm = False

    def take(self, records: Sequence[Record]) -> Offsets:
        """Begin to answer these; the first unfinished offset of each partition that has one.

        Raises what ended the answering.
        """
        self._raise_failure()
        self._in_flight.add(records)
        IN_FLIGHT.labels("query").set(len(self._in_flight))
        if records:
            self._loop.call_soon_threadsafe(self._begin, records)
        return self._in_flight.first_unfinished()

    def room(self) -> int:
        """How many queries may be taken now."""
        return self._settings.in_flight - len(self._in_flight)

    def drain(self) -> Offsets:
        """Wait until all are answered, at most `DRAIN_S` seconds; what is unfinished then."""
        deadline = time.monotonic() + DRAIN_S
        while len(self._in_flight) and time.monotonic() < deadline:
            self._raise_failure()
            time.sleep(POLL_S)
        return self._in_flight.first_unfinished()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer what is ready while inside; on the way out a batch under way ends."""
        answering = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._ready.put_nowait(None)
            await answering
            for task in self._preparing:
                task.cancel()

    async def _run(self) -> None:
        try:
            while batch := await self._batch():
                await asyncio.to_thread(self._answer, batch)
                self._in_flight.finish(one.record for one in batch)
        except Exception as error:
            self._failure = error

    def _begin(self, records: Sequence[Record]) -> None:
        for record in records:
            task = self._loop.create_task(self._prepare(record))
            self._preparing.add(task)
            task.add_done_callback(self._preparing.discard)

    async def _prepare(self, record: Record) -> None:
        try:
            self._ready.put_nowait(await self._pipeline.prepare(record))
        except Exception as error:  # the consumer loop ends with it
            self._failure = error

    async def _batch(self) -> list[PreparedQuery | RejectedQuery]:
        """The queries that are ready, when there is one; [] when there is to be no other."""
        batch: list[PreparedQuery | RejectedQuery] = []
        while len(batch) < self._settings.batch and not (batch and self._ready.empty()):
            one = await self._next()
            if one is None:
                return []
            batch.append(one)
        return batch

    async def _next(self) -> PreparedQuery | RejectedQuery | None:
        """The next that is ready. Meanwhile the index is looked for; once it is open, followed."""
        while not self._warm:
            try:
                return await asyncio.wait_for(self._ready.get(), WARM_EVERY_S)
            except TimeoutError:
                self._warm = await asyncio.to_thread(self._pipeline.warm)
        wait_s = FOLLOW_EVERY_S
        while True:
            try:
                return await asyncio.wait_for(self._ready.get(), wait_s)
            except TimeoutError:
                more = await asyncio.to_thread(self._pipeline.follow)
                wait_s = 0 if more else FOLLOW_EVERY_S

    def _answer(self, batch: Sequence[PreparedQuery | RejectedQuery]) -> None:
        self._publish(self._pipeline.search(batch))

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
