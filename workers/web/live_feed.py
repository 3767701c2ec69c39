"""Catalog events as they come and become searchable, for the page: `GET /live`.

Only ids and times are told; values stay in Kafka. Nothing is read while nobody watches.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import structlog
from confluent_kafka import Consumer

from stream.connection import Kafka
from stream.errors import DecodeError, StreamError
from stream.event_sender import Place
from stream.outcome_follower import End
from stream.records import Record, assign_end, from_confluent, take
from workers.ingest.read_event import EventReader, Nothing
from workers.terminal.printable import printable
from workers.web.gateway import Gateway

log = structlog.get_logger()

POLL_S = 0.2
MOST_WAITING = 500
"""Events that a slow watcher is behind; then it misses some."""

Watcher = asyncio.Queue[bytes]


class LiveFeed:
    """Reads the topics of the catalog from their ends while there are watchers, and tells them.

    Used from one event loop.

    Args:
        kafka: where.
        topics: names of topics; their records are read by `reader`.
        gateway: knows how an event ended.
    """

    def __init__(
        self, kafka: Kafka, topics: Sequence[str], reader: EventReader, gateway: Gateway
    ) -> None:
        self._kafka = kafka
        self._topics = topics
        self._reader = reader
        self._gateway = gateway
        self._watchers: set[Watcher] = set()
        self._stop: threading.Event | None = None

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Watcher]:
        """A queue of events as JSON, from now on."""
        watcher: Watcher = asyncio.Queue(MOST_WAITING)
        self._watchers.add(watcher)
        if self._stop is None:
            self._stop = threading.Event()
            loop = asyncio.get_running_loop()
            threading.Thread(
                target=self._read, args=(self._stop, loop), name="live", daemon=True
            ).start()
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers and self._stop is not None:
                self._stop.set()
                self._stop = None

    def close(self) -> None:
        """Stop reading."""
        if self._stop is not None:
            self._stop.set()

    def _read(self, stop: threading.Event, loop: asyncio.AbstractEventLoop) -> None:
        consumer = Consumer(self._kafka.consumer("unused"))
        try:
            began_ms = time.time_ns() // 1_000_000
            assign_end(consumer, self._kafka, *self._topics)
            while not stop.is_set():
                for message in take(consumer, POLL_S):
                    # The embedded broker's end may be low: older records may come first.
                    if not message.error() and message.timestamp()[1] >= began_ms:
                        self._arrived(from_confluent(message), loop)
        except StreamError as error:
            log.warning("catalog events are not shown", why=str(error))
        finally:
            consumer.close()

    def _arrived(self, record: Record, loop: asyncio.AbstractEventLoop) -> None:
        """Tell that an event came, and, when it has ended, how long that took."""
        place = Place(record.topic, record.partition, record.offset)
        shown: dict[str, Any] = {
            "event_id": place.event_id,
            "topic": place.topic,
            "product_id": printable(self._product_of(record)),
            "state": "arrived",
        }
        sent_ms = record.timestamp_ms
        self._tell(loop, shown)

        def ended(done: Future[End]) -> None:
            if done.cancelled():
                return
            end, now_ms = done.result(), time.time_ns() // 1_000_000
            state = "searchable" if end.state == "applied" else end.state
            found = shown | {"state": state, "after_ms": max(0, now_ms - sent_ms)}
            if end.reason:
                found["reason"] = end.reason
            self._tell(loop, found)

        self._gateway.follow(place).add_done_callback(ended)

    def _product_of(self, record: Record) -> str:
        """The product that a record is about; its key where that cannot be read."""
        try:
            read = self._reader.read(record)
        except DecodeError:
            read = Nothing()
        if isinstance(read, Nothing):
            return (record.key or b"").decode(errors="replace")
        return read.event.product_id

    def _tell(self, loop: asyncio.AbstractEventLoop, shown: dict[str, Any]) -> None:
        loop.call_soon_threadsafe(self._put, msgspec.json.encode(shown))

    def _put(self, line: bytes) -> None:
        for watcher in self._watchers:
            if not watcher.full():
                watcher.put_nowait(line)
