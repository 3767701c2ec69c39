"""No event lost, none applied twice, none applied late, whatever goes wrong meanwhile.

    lookstream bench delivery [--broker kafka|embedded] [--events 20000] [--seed 0]

A simulated shop sends its catalog events over real topics (`benchmarks.shop.events`: upserts,
patches, deletes, duplicates, late ones, 1 % poison). Real ingest workers write them to Milvus
Lite, all but the encoder, which here takes no time. They join, leave and are killed with SIGKILL;
Milvus is stopped for 30 s; with Apache Kafka (three brokers) a partition's leader is killed,
another broker is stopped, and the whole cluster is down for 15 s. In the end the index is compared
with a simple model, item by item, and the dead letters with the poison.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.servers import ServerMissing
from benchmarks.servers.kafka import KafkaCluster
from benchmarks.servers.milvus import LiteServer
from benchmarks.shop.events import Sent, make_events
from benchmarks.shop.faults import Outage, Troubles, kafka_outages, milvus_outage
from benchmarks.shop.oracle import Model, Verdict
from benchmarks.shop.progress import Progress
from benchmarks.shop.worker import handled
from benchmarks.shop.worker_pool import Staff
from index.errors import StoreUnavailable
from index.item import Item
from stream.connection import Kafka
from stream.dead_letter import read_dead_letters
from stream.embedded_broker import EmbeddedBroker
from stream.publisher import Publisher
from stream.records import read_topic
from stream.topics import Topics, create_topics
from workers.catalog_index import open_catalog
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of

POISON = "poison"
# Events are sent in so many portions, each when the one before the last was ingested, so that
# outages meet the producer too.
PORTIONS = 20
# No worker is troubled after this share, so that the end can be reached.
LAST_TROUBLE = 0.95
PATIENCE_S = 180.0


@dataclass(frozen=True)
class Place:
    """Where a run takes place."""

    settings: Settings
    milvus: LiteServer
    cluster: KafkaCluster | None

    @property
    def kafka(self) -> Kafka:
        """The broker."""
        return kafka_of(self.settings)

    @property
    def topics(self) -> Topics:
        """The topics."""
        return topics_of(self.settings)


def say(line: str) -> None:
    """Tell what happens."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


@contextmanager
def open_place(broker: str, keep: Path | None = None) -> Iterator[Place]:
    """Start the broker ("kafka": three nodes, "embedded") and Milvus Lite, and make the topics.

    Logs and data go to a temporary folder, or to `keep`, and stay there.
    """
    with ExitStack() as stack:
        folder = keep or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="lookstream-bench-"))
        )
        cluster = stack.enter_context(KafkaCluster(3)) if broker == "kafka" else None
        address = (
            cluster.plain.bootstrap if cluster else stack.enter_context(EmbeddedBroker()).bootstrap
        )
        milvus = stack.enter_context(LiteServer(folder / "milvus"))
        settings = Settings.model_validate(
            {
                "data_dir": folder,
                "kafka": {"bootstrap": address, "prefix": "shop"},
                "milvus": {"uri": milvus.uri, "kind": "lite"},
            }
        )
        place = Place(settings, milvus, cluster)
        create_topics(place.kafka, place.topics, 3 if cluster else 1)
        yield place


def run(place: Place, count: int, seed: int) -> dict[str, Any]:
    """Send the events, make trouble, wait for the end, and judge it."""
    outages = _outages(place, random.Random(seed))
    topic = place.topics.catalog.name
    events = list(make_events(count, seed))
    began = moved = time.monotonic()
    sent = last = 0
    ends: dict[int, int] = {}
    with (
        Progress(place.kafka, place.settings.group("ingest"), place.topics.catalog) as progress,
        Publisher(place.kafka, timeout_s=300) as publisher,
        Staff(place.settings) as staff,
    ):
        staff.join()
        staff.join()
        troubles = Troubles(staff, outages, seed, say)
        while not (ends and progress.reached(ends) and troubles.over):
            progress.look()
            if progress.committed > last:
                moved, last = time.monotonic(), progress.committed
            if time.monotonic() - moved > PATIENCE_S:
                raise SystemExit(f"nothing was committed for {PATIENCE_S:g} s, {last} are")
            if sent < count and sent - last <= count / PORTIONS:
                portion = events[sent : sent + -(-count // PORTIONS)]
                for event in portion:
                    send(publisher, topic, event)
                sent += len(portion)
                say(f"{sent} sent, {last} ingested, workers {staff.present}")
            elif sent == count and not ends and troubles.over:
                ends = progress.ends(publisher.flush(300)[topic])
            troubles.look(last / count, staff=last < LAST_TROUBLE * count)
            staff.look()
            time.sleep(0.1)
        seconds = time.monotonic() - began
        kills, exits = staff.kills, staff.exits
    verdict, found = judge(place)
    for example in verdict.examples:
        say(example)
    return {
        "events": count,
        "kills": kills,
        "lost": verdict.lost,
        "stale": verdict.stale,
        "visible_duplicates": verdict.visible_duplicates,
        **found,
        "exits": exits,
        "redelivered": handled(place.settings.data_dir) - found["records"],
        "seconds": round(seconds, 1),
        "events_per_s": round(count / seconds, 1),
    }


def send(publisher: Publisher, topic: str, event: Sent) -> None:
    """Queue one of the shop's events."""
    headers = [(POISON, b"1")] if event.poison else []
    publisher.publish(topic, event.key, event.value, headers, event.timestamp_ms)


def judge(place: Place) -> tuple[Verdict, dict[str, int]]:
    """Compare the index with the model, and the dead letters with the poison of the log."""
    model, poison, records = Model(), set(), 0
    for record in read_topic(place.kafka, place.topics.catalog.name):
        records += 1
        if any(name == POISON for name, _ in record.headers):
            poison.add(record.source)
        else:
            model.hear(record)
    letters = [letter.record.source for letter in read_dead_letters(place.kafka, place.topics)]
    rows = read_index(place)
    return model.judge(rows), {
        # As it is in the log: a producer that lost its broker may have written an event twice.
        "poison": len(poison),
        "dead_lettered": len(set(letters)),
        "records": records,
        "wrongly_dead_lettered": len(set(letters) - poison),
        "items": len({row.item_id for row in rows}),
    }


def read_index(place: Place) -> list[Item]:
    """Every row that a search could find; waits for Milvus Lite to catch its breath."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            collection, _ = open_catalog(place.settings)
            with collection:
                return [item for page in collection.scan(vectors=True) for item in page]
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _outages(place: Place, rng: random.Random) -> list[Outage]:
    """Milvus away at some time, and Kafka's troubles at others."""
    moments = [(slot + rng.uniform(0.2, 0.8)) / 5 for slot in range(4)]
    rng.shuffle(moments)
    outages = [milvus_outage(place.milvus, moments[0])]
    if place.cluster:
        outages += kafka_outages(place.cluster, place.topics.catalog.name, sorted(moments[1:]))
    return outages


def main() -> None:
    """Run and print one JSON object last; status 1 if anything was lost, stale or double."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--broker", choices=["embedded", "kafka"], default="embedded")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep the logs and the index in this folder")
    options = parser.parse_args()
    try:
        with open_place(options.broker, options.keep) as place:
            found = run(place, options.events, options.seed)
    except ServerMissing as missing:
        raise SystemExit(str(missing)) from missing
    print(orjson.dumps({"broker": options.broker} | found).decode())
    wrong = found["lost"] + found["stale"] + found["visible_duplicates"]
    wrong += found["wrongly_dead_lettered"] + abs(found["dead_lettered"] - found["poison"])
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
