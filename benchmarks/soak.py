"""A soak test under mixed load: flat memory, no event lost, every query answered.

    lookstream bench soak [--minutes 30] [--load 0.8] [--broker kafka] [--catalog examples/grocery]

The whole stack as `lookstream up` runs it, with the real models, on the broker of the settings or
on an Apache Kafka of its own. First, events and queries are sent as fast as they are handled
(closed loop): that is the capacity of the two together. Then a share of it is sent at a constant
rate (open loop) while the workers' memory is sampled. Events are patches, new titles and new
pictures, for twenty copies of each product. In the end every product must be as it was last sent.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil

from benchmarks.shop.broker import BROKERS, settings_for
from benchmarks.shop.progress import Progress
from models.catalog.folder import read_catalog
from stream.dead_letter import read_dead_letters
from stream.messages import Query, Result
from stream.publisher import Publisher, wait_committed
from stream.request_reply import Client
from tests.servers import ServerMissing
from workers.catalog_index import open_catalog
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.ephemeral import ephemeral_settings
from workers.deploy.supervisor import WORKERS, Stack
from workers.jobs.produce import picture_reference
from workers.progress.open import open_progress
from workers.progress.tasks import Progress as Bars

COPIES = 20
# In flight while the capacity is measured: enough to keep the workers busy, and no long queue.
EVENTS_IN_FLIGHT = 128
QUERIES_IN_FLIGHT = 4
CALIBRATE_S = 60.0
# Of the samples, at the beginning: caches fill, allocators settle.
WARM_UP_SHARE = 0.25
SAMPLE_EVERY_S = 5.0
REFRESH_EVERY_S = 0.5
ANSWER_TIMEOUT_S = 60.0


def log(line: str) -> None:
    """Print a line with the time to standard error."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


@dataclass
class Shop:
    """Makes events and queries from a catalog folder.

    `latest` has title and price of each product as they were sent last.
    """

    folder: Path
    rng: random.Random
    latest: dict[str, tuple[str, float]] = field(default_factory=dict)
    events: int = 0
    queries: int = 0

    def __post_init__(self) -> None:
        catalog = read_catalog(self.folder)
        self._products = [
            (f"{product.product_id}/{copy}", product)
            for copy in range(COPIES)
            for product in catalog.products
        ]
        self._photos = [picture_reference(self.folder, photo.image) for photo in catalog.photos]

    def event(self) -> tuple[str, bytes]:
        """The key and value of the next catalog event."""
        self.events += 1
        key, product = self._products[self.rng.randrange(len(self._products))]
        price = float(self.rng.randrange(1, 100))
        body: dict[str, Any] = {"product_id": key, "version": self.events, "price": price}
        if key in self.latest and self.rng.random() < 0.6:
            self.latest[key] = (self.latest[key][0], price)
            return key, orjson.dumps({"type": "patch", **body})
        title = f"{product.title} {self.events}"
        own_image = self.rng.random() < 0.75
        picture = (
            picture_reference(self.folder, product.image)
            if own_image and product.image
            else self._photo()
        )
        self.latest[key] = (title, price)
        content = {"type": "upsert", "title": title, "category": product.category, "image": picture}
        return key, orjson.dumps({**body, **content})

    def query(self) -> Query:
        """The next shopper's photo."""
        self.queries += 1
        return Query(query_id=f"soak-{self.queries}", image=self._photo())

    def _photo(self) -> str:
        return self._photos[self.rng.randrange(len(self._photos))]


class Load:
    """Sends events and queries, at a constant rate or as fast as they are handled."""

    def __init__(
        self, settings: Settings, shop: Shop, publisher: Publisher, client: Client
    ) -> None:
        self.shop = shop
        self.answered = 0
        self.refused = 0
        catalog = topics_of(settings).catalog
        self._topic = catalog.name
        self._publisher = publisher
        self._client = client
        self._progress = Progress(kafka_of(settings), settings.group("ingest"), catalog)
        self._in_flight: dict[Future[Result], float] = {}

    def closed_loop(self, seconds: float) -> tuple[float, float]:
        """Keep a fixed number of both in flight; returns events and queries per second."""
        self._progress.refresh()
        began, events, answers = time.monotonic(), self._progress.committed, self.answered
        for _ in self._ticks(began + seconds):
            while self.shop.events - self._progress.committed < EVENTS_IN_FLIGHT:
                self._send_event()
            while len(self._in_flight) < QUERIES_IN_FLIGHT:
                self._send_query()
        self._progress.refresh()
        took = time.monotonic() - began
        return (self._progress.committed - events) / took, (self.answered - answers) / took

    def open_loop(
        self, seconds: float, events_per_s: float, queries_per_s: float
    ) -> Iterator[float]:
        """Send at constant rates; yields the seconds since the beginning, about every 10 ms."""
        began, events, queries = time.monotonic(), self.shop.events, self.shop.queries
        for now in self._ticks(began + seconds):
            while self.shop.events - events < (now - began) * events_per_s:
                self._send_event()
            while self.shop.queries - queries < (now - began) * queries_per_s:
                self._send_query()
            yield now - began

    def finish(self) -> None:
        """Wait for the answers of queries in flight."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while self._in_flight and time.monotonic() < deadline:
            self._collect_answers()
            time.sleep(0.05)

    @property
    def waiting(self) -> int:
        """Events sent and not ingested yet."""
        return self.shop.events - self._progress.committed

    def _ticks(self, until: float) -> Iterator[float]:
        refreshed = 0.0
        while (now := time.monotonic()) < until:
            if now - refreshed > REFRESH_EVERY_S:
                self._progress.refresh()
                refreshed = now
            self._collect_answers()
            yield now
            time.sleep(0.01)

    def _send_event(self) -> None:
        self._publisher.publish(self._topic, *self.shop.event())

    def _send_query(self) -> None:
        self._in_flight[self._client.submit(self.shop.query())] = time.monotonic()

    def _collect_answers(self) -> None:
        for answer in [one for one in self._in_flight if one.done()]:
            del self._in_flight[answer]
            if answer.exception() is None and answer.result().error is None:
                self.answered += 1
            else:
                self.refused += 1


def memory_of_workers() -> dict[str, float]:
    """Resident megabytes of each kind of worker."""
    found: dict[str, float] = {}
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            argv = child.cmdline()
            if "worker" in argv and argv[-1] in WORKERS:
                found[argv[-1]] = found.get(argv[-1], 0) + child.memory_info().rss / 1e6
    return found


def slope_mb_per_h(samples: list[tuple[float, float]]) -> float:
    """Slope of memory over time: least squares through (seconds, MB) without the warm-up."""
    kept = samples[int(len(samples) * WARM_UP_SHARE) :]
    seconds, megabytes = np.array(kept).T
    return float(np.polyfit(seconds, megabytes, 1)[0] * 3600)


def count_lost(settings: Settings, shop: Shop) -> int:
    """Products that are not in the index as they were sent last."""
    with open_catalog(settings)[0] as collection:
        rows = [item for page in collection.scan() for item in page]
    indexed = {row.product_id: (row.payload["title"], row.offer.get("price")) for row in rows}
    return sum(indexed.get(product) != sent for product, sent in shop.latest.items())


def run(
    settings: Settings, folder: Path, minutes: float, share: float, seed: int, bars: Bars
) -> dict[str, Any]:
    """Start the stack, measure its capacity, and load it with `share` (0..1) of that."""
    kafka, topics = kafka_of(settings), topics_of(settings)
    shop = Shop(folder, random.Random(seed))
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with (
        Stack(settings, report=log) as stack,
        Publisher(kafka) as publisher,
        Client(kafka, topics, ANSWER_TIMEOUT_S) as client,
    ):
        with bars.task("waiting for the workers"):
            stack.wait_ready()
        load = Load(settings, shop, publisher, client)
        with bars.task("warming up"):
            load.closed_loop(CALIBRATE_S / 2)  # the first prototypes, warm caches
        with bars.task("measuring the capacity"):
            events_per_s, queries_per_s = load.closed_loop(CALIBRATE_S)
        log(f"capacity: {events_per_s:.1f} events/s beside {queries_per_s:.1f} queries/s")
        max_waiting, sampled = 0, -SAMPLE_EVERY_S
        steady = bars.task("steady load, seconds", round(minutes * 60))
        for now in load.open_loop(minutes * 60, share * events_per_s, share * queries_per_s):
            steady(int(now))
            if now - sampled < SAMPLE_EVERY_S:
                continue
            sampled = now
            stack.check()
            max_waiting = max(max_waiting, load.waiting)
            memory = memory_of_workers()
            for worker, megabytes in memory.items():
                samples[worker].append((now, megabytes))
            shown = ", ".join(f"{worker} {mb:.0f} MB" for worker, mb in sorted(memory.items()))
            log(f"{now:.0f} s: {shown}; {load.waiting} events waiting, {load.answered} answers")
        steady.finish()
        load.finish()
        ends = publisher.flush()[topics.catalog.name]
        with bars.task("ingesting the rest"):
            topic, group = topics.catalog.name, settings.group("ingest")
            wait_committed(kafka, group, topic, ends, timeout_s=120)
        with bars.task("comparing with what was sent"):
            dead_letters = sum(1 for _ in read_dead_letters(kafka, topics))
            lost_products = count_lost(settings, shop)
    slopes = {worker: round(slope_mb_per_h(series), 1) for worker, series in samples.items()}
    return {
        "minutes": minutes,
        "capacity_events_per_s": round(events_per_s, 1),
        "capacity_queries_per_s": round(queries_per_s, 1),
        "events": shop.events,
        "lost": lost_products,
        "dead_lettered": dead_letters,
        "queries": shop.queries,
        "answered": load.answered,
        "max_events_waiting": max_waiting,
        "slope_mb_per_h": max(slopes.values()),
        "slopes_mb_per_h": slopes,
        "memory_mb": {worker: round(series[-1][1]) for worker, series in samples.items()},
    }


def main() -> None:
    """Run and print one JSON object last; status 1 if an event or an answer is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--load", type=float, default=0.8, help="share of the capacity")
    parser.add_argument("--broker", choices=BROKERS, default="settings")
    parser.add_argument("--catalog", type=Path, default=Path("examples/grocery"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        with ExitStack() as stack:
            settings = stack.enter_context(settings_for(options.broker))
            ephemeral = stack.enter_context(ephemeral_settings(settings, "soak"))
            bars = stack.enter_context(open_progress())
            found = run(
                ephemeral, options.catalog, options.minutes, options.load, options.seed, bars
            )
    except ServerMissing as missing:
        raise SystemExit(str(missing)) from missing
    print(orjson.dumps(found).decode())
    sys.exit(1 if found["lost"] or found["answered"] < found["queries"] else 0)


if __name__ == "__main__":
    main()
