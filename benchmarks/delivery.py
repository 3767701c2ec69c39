"""Exactly-once effect under faults: no event lost, none applied twice, none out of order.

    lookstream bench delivery [--broker kafka|embedded] [--events 20000] [--seed 0]

A simulated shop sends its catalog events over real topics (`benchmarks.shop.events`: upserts,
patches, deletes, duplicates, late ones, 1 % poison). Ingest workers, real but for an encoder that
costs no time, write them to Milvus Lite. They join, leave and are killed with SIGKILL; Milvus is
stopped for 30 s; with Apache Kafka (three brokers) a partition's leader is killed, another broker
is stopped, and the whole cluster is down for 15 s. In the end the index is compared with an oracle,
item by item, and the dead letters with the poison.
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

from benchmarks.shop.events import ShopEvent, make_events
from benchmarks.shop.faults import FaultInjector, Outage, kafka_outages, milvus_outage
from benchmarks.shop.progress import Progress
from benchmarks.shop.worker import count_handled
from benchmarks.shop.worker_pool import WorkerPool
from index.errors import MilvusUnavailable
from index.item import Item
from stream.connection import Kafka
from stream.dead_letter import read_dead_letters
from stream.embedded_broker import EmbeddedBroker
from stream.publisher import Publisher
from stream.records import read_topic
from stream.topics import Topics, create_topics
from tests.doubles.oracle import Difference, IndexOracle
from tests.servers import ServerMissing
from tests.servers.kafka import KafkaCluster
from tests.servers.milvus import LiteServer
from workers.catalog_index import open_catalog
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.progress.open import open_progress
from workers.progress.tasks import Progress as Bars

POISON = "poison"
# Events are sent in so many portions, each when the one before the last was ingested, so that
# outages hit the producer too.
PORTIONS = 20
# No worker fails after this share of the events, so that the end can be reached.
LAST_WORKER_FAULT = 0.95
STALL_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Deployment:
    """The servers of a run, and the settings that point to them."""

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


def log(line: str) -> None:
    """Print a line with the time to standard error."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


@contextmanager
def deploy(broker: str, keep: Path | None = None) -> Iterator[Deployment]:
    """Start the broker ("kafka": three nodes, "embedded") and Milvus Lite, and make the topics.

    Logs and data go to a temporary folder, or to `keep`, which is not removed.
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
        deployment = Deployment(settings, milvus, cluster)
        create_topics(deployment.kafka, deployment.topics, 3 if cluster else 1)
        yield deployment


def run(deployment: Deployment, count: int, seed: int, bars: Bars) -> dict[str, Any]:
    """Send the events, inject faults, wait for the end, and compare with the oracle.

    Raises:
        SystemExit: nothing was committed for `STALL_TIMEOUT_S`.
    """
    outages = _outages(deployment, random.Random(seed))
    topic = deployment.topics.catalog.name
    events = list(make_events(count, seed))
    began = last_commit = time.monotonic()
    sent = committed = 0
    ends: dict[int, int] = {}
    with (
        Progress(
            deployment.kafka, deployment.settings.group("ingest"), deployment.topics.catalog
        ) as progress,
        Publisher(deployment.kafka, timeout_s=300) as publisher,
        WorkerPool(deployment.settings) as workers,
        bars.task("ingesting", count) as ingesting,
    ):
        workers.start()
        workers.start()
        faults = FaultInjector(workers, outages, seed, log)
        while not (ends and progress.reached(ends) and faults.outages_over):
            progress.refresh()
            ingesting(min(progress.committed, count))
            if progress.committed > committed:
                last_commit, committed = time.monotonic(), progress.committed
            if time.monotonic() - last_commit > STALL_TIMEOUT_S:
                raise SystemExit(
                    f"nothing was committed for {STALL_TIMEOUT_S:g} s, after {committed} events"
                )
            if sent < count and sent - committed <= count / PORTIONS:
                portion = events[sent : sent + -(-count // PORTIONS)]
                for event in portion:
                    send(publisher, topic, event)
                sent += len(portion)
                log(f"{sent} sent, {committed} ingested, workers {workers.running}")
            elif sent == count and not ends and faults.outages_over:
                ends = progress.ends(publisher.flush(300)[topic])
            faults.step(committed / count, worker_faults=committed < LAST_WORKER_FAULT * count)
            workers.restart_ended()
            time.sleep(0.1)
        seconds = time.monotonic() - began
        kills, exits = workers.kills, workers.exits
    with bars.task("comparing with the oracle"):
        difference, found = check(deployment)
    for example in difference.examples:
        log(example)
    return {
        "events": count,
        "kills": kills,
        "lost": difference.lost,
        "stale": difference.stale,
        "visible_duplicates": difference.visible_duplicates,
        **found,
        "exits": exits,
        "redelivered": count_handled(deployment.settings.data_dir) - found["records"],
        "seconds": round(seconds, 1),
        "events_per_s": round(count / seconds, 1),
    }


def send(publisher: Publisher, topic: str, event: ShopEvent) -> None:
    """Queue one of the shop's events."""
    headers = [(POISON, b"1")] if event.poison else []
    publisher.publish(topic, event.key, event.value, headers, event.timestamp_ms)


def check(deployment: Deployment) -> tuple[Difference, dict[str, int]]:
    """Compare the index with the oracle, and the dead letters with the poison of the log."""
    oracle, poison, records = IndexOracle(), set(), 0
    for record in read_topic(deployment.kafka, deployment.topics.catalog.name):
        records += 1
        if any(name == POISON for name, _ in record.headers):
            poison.add(record.source)
        else:
            oracle.apply(record)
    letters = [
        letter.record.source for letter in read_dead_letters(deployment.kafka, deployment.topics)
    ]
    rows = read_index(deployment)
    return oracle.compare(rows), {
        # As it is in the log: a producer that lost its broker may have written an event twice.
        "poison": len(poison),
        "dead_lettered": len(set(letters)),
        "records": records,
        "wrongly_dead_lettered": len(set(letters) - poison),
        "items": len({row.item_id for row in rows}),
    }


def read_index(deployment: Deployment) -> list[Item]:
    """Every row that a search could find; retries while Milvus Lite is not available."""
    deadline = time.monotonic() + STALL_TIMEOUT_S
    while True:
        try:
            collection, _ = open_catalog(deployment.settings)
            with collection:
                return [item for page in collection.scan(vectors=True) for item in page]
        except MilvusUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _outages(deployment: Deployment, rng: random.Random) -> list[Outage]:
    """Milvus is down at one moment; with a Kafka cluster, its brokers are at three others."""
    moments = [(slot + rng.uniform(0.2, 0.8)) / 5 for slot in range(4)]
    rng.shuffle(moments)
    outages = [milvus_outage(deployment.milvus, moments[0])]
    if deployment.cluster:
        outages += kafka_outages(
            deployment.cluster, deployment.topics.catalog.name, sorted(moments[1:])
        )
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
        with open_progress() as bars, ExitStack() as stack:
            with bars.task("starting the servers"):
                deployment = stack.enter_context(deploy(options.broker, options.keep))
            found = run(deployment, options.events, options.seed, bars)
    except ServerMissing as missing:
        raise SystemExit(str(missing)) from missing
    print(orjson.dumps({"broker": options.broker} | found).decode())
    wrong = found["lost"] + found["stale"] + found["visible_duplicates"]
    wrong += found["wrongly_dead_lettered"] + abs(found["dead_lettered"] - found["poison"])
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
