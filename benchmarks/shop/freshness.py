"""How soon a change of a row is found by a query, and how far it was when."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import orjson
from confluent_kafka import Consumer

from benchmarks.shop.table import Table
from stream.codec import decode
from stream.connection import Kafka
from stream.messages import Outcomes, Query
from stream.records import assign_end
from stream.request_reply import Client
from workers.progress.tasks import Progress

PER_S = 20.0
SLOWEST_S = 60.0
POLL_S = 0.05
TOP = 100


@dataclass
class Change:
    """A new price, and when it got how far, in seconds of one clock; infinite where it was not
    seen."""

    product: str
    price: float
    committed: float
    in_topic: float = np.inf
    in_index: float = np.inf
    found: float = np.inf


@dataclass
class Watch:
    """Follows changes through the topics, and by queries until each is found."""

    client: Client
    topic: str
    changes: list[Change] = field(default_factory=list)
    _by_price: dict[float, Change] = field(default_factory=dict)
    _by_offset: dict[int, Change] = field(default_factory=dict)
    _all: threading.Event = field(default_factory=threading.Event)
    _found: threading.Event = field(default_factory=threading.Event)

    def committed(self, product: int, price: float) -> None:
        """A price that no product had was committed right now."""
        change = Change(str(product), price, time.monotonic())
        self._by_price[price] = change
        self.changes.append(change)

    def finish(self) -> None:
        """No change follows."""
        self._all.set()

    def follow(self, consumer: Consumer) -> None:
        """Read both topics until all is found."""
        while not self._found.is_set():
            message = consumer.poll(POLL_S)
            if message is None or message.error():
                continue
            now, value = time.monotonic(), message.value() or b"null"
            if message.topic() != self.topic:
                for offset in decode(value, Outcomes).applied:
                    if change := self._by_offset.get(offset):
                        change.in_index = now
            elif change := self._by_price.get(_price(value)):
                change.in_topic = now
                self._by_offset[message.offset() or 0] = change

    def ask(self) -> None:
        """Query, one after the other, until all is found.

        Raises:
            TimeoutError: a change was not found within `SLOWEST_S`.
        """
        try:
            first = 0
            while first < len(self.changes) or not self._all.is_set():
                wanted = [one for one in self.changes[first:] if one.found == np.inf][:TOP]
                if not wanted:
                    first = len(self.changes)
                    time.sleep(0.005)
                    continue
                first = self.changes.index(wanted[0], first)
                self._ask_for(wanted)
        finally:
            self._found.set()

    def _ask_for(self, wanted: list[Change]) -> None:
        asked = f"product_id:=[{', '.join(sorted({one.product for one in wanted}))}]"
        query = Query(
            query_id=uuid.uuid4().hex, schema=2, text="milk", filter=asked, top=len(wanted)
        )
        found = {(one.product_id, one.price) for one in self.client.search(query).items}
        now = time.monotonic()
        for one in wanted:
            if (one.product, one.price) in found:
                one.found = now
            elif now - one.committed > SLOWEST_S:
                raise TimeoutError(f"product {one.product} was not found within {SLOWEST_S:g} s")


def measure(
    kafka: Kafka, topic: str, outcomes: str, client: Client, table: Table, bars: Progress, many: int
) -> list[Change]:
    """Change prices at a constant rate, and follow each until it is found."""
    watch = Watch(client, topic)
    consumer = Consumer(kafka.consumer("unused"))
    assign_end(consumer, kafka, topic, outcomes)
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(watch.follow, consumer), threads.submit(watch.ask)
        try:
            began = time.monotonic()
            for number in bars.track(range(many), "changing at a constant rate", many):
                time.sleep(max(0.0, began + number / PER_S - time.monotonic()))
                product = table.ids[number % len(table.ids)]
                watch.committed(product, table.change_price(product))
        finally:
            watch.finish()
    consumer.close()
    for one in running:
        one.result()
    return watch.changes


def summary(changes: list[Change]) -> dict[str, int]:
    """Milliseconds from the commit: to the topic, to the index, to a query that finds it."""
    found: dict[str, int] = {"commit_to_searchable_samples": len(changes)}
    for name, stage in (("topic", "in_topic"), ("index", "in_index"), ("searchable", "found")):
        took = [1000 * (getattr(one, stage) - one.committed) for one in changes]
        for label, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            ms = np.quantile(took, share, method="lower")
            if np.isfinite(ms):
                found[f"commit_to_{name}_{label}_ms"] = round(float(ms))
    return found


def _price(envelope: bytes) -> float:
    after = (orjson.loads(envelope) or {}).get("after") or {}
    return float(after.get("price", -1))
