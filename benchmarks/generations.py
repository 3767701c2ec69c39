"""Swapping generations under queries and live events, and how fresh a search is.

    lookstream bench generations [--products 2000] [--queries 10000] [--events-per-s 20]

The embedded broker, Milvus Lite, an ingest worker and a query worker, each a process of its own
that nobody stops; two encoders stand in that cost no time and find different things. While queries
go over Kafka and products come, change and go, the index is built anew with the other encoder
(`lookstream reindex --backbone`), rolled back (`lookstream generations rollback`) and so on until
all queries are asked. The last line is one JSON object:

    swap_queries          asked meanwhile
    swap_failed           without an answer, or with an error
    swap_mixed            with products that the encoder of the answer's index does not find
    swaps                 reindexes and rollbacks that were done
    switch_s              the longest time that writers waited at a switch
    swap_slowest_ms       the slowest answer
    deleted_shown         answers with a product whose delete was applied before they were asked for
    swap_lost             products that the index holds and should not, or should and does not
    freshness_p50_ms, freshness_p99_ms   from producing an event to the word that a search finds it,
                          without switches
    patch_encodings       items that were encoded for changes of a price
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson

from stream.child_process import spawn, stop
from stream.embedded_broker import EmbeddedBroker, claim_port
from stream.errors import StreamError
from stream.event_sender import EventSender
from stream.messages import Query, Result
from stream.outcome_follower import OutcomeFollower
from stream.request_reply import Client
from stream.topics import create_topics
from tests.doubles.two_encoders import COLOURS, found_by
from tests.servers.milvus import LiteServer
from workers.catalog_index import open_catalog
from workers.config.settings import Settings, settings_environment
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.supervisor import listening, tail
from workers.errors import StackError
from workers.progress.open import open_progress
from workers.progress.tasks import Progress

PROGRAM = (sys.executable, "-m", "tests.doubles.two_encoders")
WINDOW = 32
"""Queries under way at a time."""
START_S = 60.0
SETTLE_S = 60.0
FRESH_EVENTS = 300


@dataclass
class Shop:
    """Products that come, change and go, and what the index should hold of them."""

    settings: Settings
    sender: EventSender
    outcomes: OutcomeFollower
    there: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    """Product and the time (monotonic) from which no search may find it."""
    sent: int = 0

    def send(self, product: str, **event: Any) -> Future[float]:
        """Send an event; the seconds until the word that it is applied."""
        began, topic = time.monotonic(), topics_of(self.settings).catalog.name
        took: Future[float] = Future()
        value = orjson.dumps({"product_id": product, **event})

        def ended(_: object) -> None:
            took.set_result(time.monotonic() - began)

        placed = self.sender.send(topic, product, value)
        placed.add_done_callback(
            lambda one: self.outcomes.wait(one.result()).add_done_callback(ended)
        )
        return took

    def upsert(self, product: str, price: float = 1.0) -> Future[float]:
        """A product, or the same with another price; its colour is in its number."""
        self.there[product] = price
        colour = COLOURS[int(product[1:]) % len(COLOURS)]
        return self.send(product, type="upsert", title=f"{colour} {product}", price=price)

    def patch(self, product: str, price: float) -> Future[float]:
        """Another price."""
        self.there[product] = price
        return self.send(product, type="patch", price=price)

    def delete(self, product: str) -> Future[float]:
        """It goes; from its word on it must not be found."""
        del self.there[product]
        done = self.send(product, type="delete")
        done.add_done_callback(lambda _: self.gone.setdefault(product, time.monotonic()))
        return done

    def fill(self, products: int, on_done: Callable[[int], None] = lambda number: None) -> None:
        """So many products, all of them applied."""
        filled = [self.upsert(f"p{number}") for number in range(products)]
        for number, one in enumerate(filled):
            one.result(SETTLE_S)
            on_done(number)

    def trade(self, stopped: threading.Event, per_s: float) -> None:
        """One event after the other until told to stop."""
        number, waiting = 0, deque[str]()
        while not stopped.wait(1 / per_s):
            number += 1
            if number % 3 == 0 and len(waiting) > 20:
                self.delete(waiting.popleft())
            elif number % 3 == 1 and waiting:
                self.patch(waiting[-1], float(number))
            else:
                product = f"n{1_000_000 + self.sent}"
                self.sent += 1
                self.upsert(product)
                waiting.append(product)


@dataclass
class Asked:
    """What became of the queries."""

    queries: int = 0
    failed: int = 0
    mixed: int = 0
    deleted: int = 0
    slowest_s: float = 0.0
    models: set[str] = field(default_factory=set)

    def note(self, shop: Shop, colour: str, sent: float, result: Result | None) -> None:
        """Count one answer."""
        self.queries += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - sent)
        if result is None or result.error is not None or not result.items:
            self.failed += 1
            return
        self.models.add(result.model_id)
        expected = found_by(result.model_id, colour)
        self.mixed += any(not one.title.startswith(expected) for one in result.items)
        self.deleted += any(shop.gone.get(one.product_id, sent) < sent for one in result.items)


def ask(shop: Shop, client: Client, asked: Asked, done: threading.Event, least: int) -> None:
    """Ask, `WINDOW` at a time, until all is done and so many were asked."""
    under_way: deque[tuple[str, float, Future[Result]]] = deque()
    number = 0
    while number < least or not done.is_set() or under_way:
        if (number < least or not done.is_set()) and len(under_way) < WINDOW:
            colour = COLOURS[number % len(COLOURS)]
            query = Query(query_id=f"q{number}", text=colour, top=10)
            under_way.append((colour, time.monotonic(), client.submit(query)))
            number += 1
            continue
        colour, sent, answer = under_way.popleft()
        try:
            result = answer.result(60)
        except (StreamError, TimeoutError):
            result = None
        asked.note(shop, colour, sent, result)


def swap(settings: Settings, asked: Asked, least: int, after: int) -> list[dict[str, Any]]:
    """Reindex and roll back in turn, at least once each, until so many queries were asked."""
    commands = (
        ("reindex", "--backbone", "lite0", "--yes", "--restart"),
        ("generations", "rollback"),
    )
    done: list[dict[str, Any]] = []
    while len(done) < 2 or (asked.queries < least and len(done) < after):
        command = commands[len(done) % 2]
        ran = subprocess.run(
            [*PROGRAM, *command, "--json", "--quiet"],
            env=environment_of(settings),
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise StackError(f"{' '.join(command)} failed: {ran.stderr[-2000:]}")
        done.append(orjson.loads(ran.stdout.splitlines()[-1]))
    return done


def fresh(shop: Shop, per_s: float, progress: Progress) -> list[float]:
    """Seconds from producing an event to its word, for events one by one."""
    took = []
    with progress.task("freshness", FRESH_EVENTS) as task:
        for number in range(FRESH_EVENTS):
            time.sleep(1 / per_s)
            took.append(shop.upsert(f"n{2_000_000 + number}"))
            task(number)
        return [one.result(SETTLE_S) for one in took]


def patched(shop: Shop, products: Sequence[str]) -> int:
    """Items that the ingest worker encodes for changes of a price."""
    before = encoded(shop.settings)
    for one in [shop.patch(product, 99.0) for product in products]:
        one.result(SETTLE_S)
    return encoded(shop.settings) - before


def encoded(settings: Settings) -> int:
    """Items that the ingest worker has encoded since it began."""
    text = httpx.get(f"http://127.0.0.1:{settings.ingest.metrics_port}/metrics").text
    lines = [one for one in text.splitlines() if one.startswith("lookstream_encoded_total")]
    return round(sum(float(line.rpartition(" ")[2]) for line in lines))


def lost(shop: Shop) -> int:
    """Products whose presence or price in the index is not what was sent."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        with open_catalog(shop.settings)[0] as collection:
            held = {
                item.product_id: item.offer.get("price")
                for page in collection.scan()
                for item in page
            }
        wrong = len(set(held.items()) ^ set(shop.there.items()))
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(1)


@contextmanager
def running(settings: Settings, name: str) -> Iterator[None]:
    """A worker, as somebody starts it by hand."""
    log = settings.data_dir / f"{name}.log"
    process = spawn([*PROGRAM, "worker", name], log_path=log, env=environment_of(settings))
    try:
        deadline = time.monotonic() + START_S
        while not listening(getattr(settings, name).metrics_port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"the {name} worker does not start: {tail(log)}")
            time.sleep(0.1)
        yield
        if process.poll() is not None:
            raise StackError(f"the {name} worker has ended: {tail(log)}")
    finally:
        stop(process)


@contextmanager
def open_shop(folder: Path, *, repartition: bool = True) -> Iterator[Shop]:
    """A shop with servers and an ingest worker, a process each; it repartitions if it may."""
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker())
        lite = stack.enter_context(LiteServer(folder / "lite"))
        settings = settings_of(folder, broker.bootstrap, lite.uri, repartition)
        kafka, topics = kafka_of(settings), topics_of(settings)
        create_topics(kafka, topics)
        stack.enter_context(running(settings, "ingest"))
        sender, outcomes = EventSender(kafka), OutcomeFollower(kafka, topics)
        stack.callback(outcomes.close)
        stack.callback(sender.close)
        yield Shop(settings, sender, outcomes)


def measure(products: int, queries: int, per_s: float, progress: Progress) -> dict[str, Any]:
    """Everything, on servers of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        shop = stack.enter_context(open_shop(folder))
        settings = shop.settings
        kafka, topics = kafka_of(settings), topics_of(settings)
        stack.enter_context(running(settings, "query"))
        with progress.task("filling", products) as task:
            shop.fill(products, task)
        encodings = patched(shop, [f"p{number}" for number in range(min(200, products))])
        seconds = fresh(shop, per_s, progress)
        asked, stopped, done = Asked(), threading.Event(), threading.Event()
        client = stack.enter_context(Client(kafka, topics, timeout_s=60.0))
        trading = threading.Thread(target=shop.trade, args=(stopped, per_s))
        asking = threading.Thread(target=ask, args=(shop, client, asked, done, queries))
        trading.start()
        asking.start()
        try:
            with progress.task("swapping"):
                swaps = swap(settings, asked, queries, after=20)
        finally:
            done.set()
            asking.join()
            stopped.set()
            trading.join()
        return {
            "swap_queries": asked.queries,
            "swap_failed": asked.failed,
            "swap_mixed": asked.mixed,
            "swaps": len(swaps),
            "switch_s": round(max(one["held_s"] for one in swaps), 3),
            "swap_slowest_ms": round(1000 * asked.slowest_s),
            "swap_models": len(asked.models),
            "deleted_shown": asked.deleted,
            "swap_lost": lost(shop),
            "freshness_p50_ms": round(1000 * float(np.percentile(seconds, 50)), 1),
            "freshness_p99_ms": round(1000 * float(np.percentile(seconds, 99)), 1),
            "patch_encodings": encodings,
        }


def settings_of(folder: Path, bootstrap: str, uri: str, repartition: bool) -> Settings:
    """A deployment of its own, in a folder."""
    return Settings.model_validate(
        {
            "data_dir": folder / "data",
            "kafka": {"bootstrap": bootstrap, "prefix": "swap"},
            "milvus": {"uri": uri, "kind": "lite", "repartition": repartition},
            "ingest": {"metrics_port": claim_port(), "weigh_parts": False},
            "query": {"metrics_port": claim_port()},
        }
    )


def environment_of(settings: Settings) -> dict[str, str]:
    """What another process finds it by."""
    settings.data_dir.mkdir(exist_ok=True)
    root = str(Path(__file__).parents[1])
    return {**settings_environment(settings), "PYTHONPATH": root, "PATH": os.environ["PATH"]}


def main() -> None:
    """Run it and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--products", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--events-per-s", type=float, default=20.0)
    options = parser.parse_args()
    with open_progress() as progress:
        found = measure(options.products, options.queries, options.events_per_s, progress)
    print(orjson.dumps(found).decode())


if __name__ == "__main__":
    main()
