"""A shop in PostgreSQL that Debezium follows: is the index the table, and how soon is it so?

Products of a table change by SQL alone: prices, stocks, titles, new rows, other keys, deletes.
First at a constant rate, and what was committed is asked for until it is found; then as fast as it
goes, while the ingest worker is killed twice. In the end every product of the index is compared
with its row.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import psutil
from confluent_kafka import Consumer, TopicPartition

from benchmarks.shop.freshness import measure, summary
from benchmarks.shop.table import END, Table
from stream.connection import Kafka
from stream.errors import DeliveryStuck
from stream.publisher import wait_committed
from stream.request_reply import Client
from tests.servers.debezium import ConnectWorker, shop_connector
from tests.servers.kafka import KafkaCluster
from tests.servers.postgres import PostgresServer
from workers.catalog_index import open_catalog
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.ephemeral import ephemeral_settings
from workers.deploy.supervisor import Stack
from workers.progress.tasks import Progress

PREFIX = "shop"
TOPIC = f"{PREFIX}.public.products"
CATALOG = {
    "topics": [TOPIC],
    "source": {"format": "debezium"},
    "map": {
        "product_id": "id",
        "title": "name",
        "description": "details",
        "category": "split(path, '>')",
        "image": "image",
        "price": "price",
        "currency": "'EUR'",
        "in_stock": "stock > 0",
        "attributes": {"color": "attributes.color"},
    },
}
PICTURES = 12
KILLS = 2
CATCH_UP_S = 1200.0


@contextmanager
def postgres_shop(given: Settings, pictures: Path) -> Iterator[tuple[Settings, Table]]:
    """Deployment and table, with a connector between them.

    Raises:
        ServerMissing: PostgreSQL, Kafka or Debezium cannot be had here.
    """
    with ExitStack() as running:
        server = running.enter_context(PostgresServer())
        cluster = running.enter_context(KafkaCluster())
        connect = running.enter_context(ConnectWorker(cluster.plain))
        connection = running.enter_context(server.connect())
        changed = given.model_dump()
        changed["kafka"]["bootstrap"] = cluster.plain.bootstrap
        changed["catalog"] = CATALOG
        changed["intake"]["roots"] = [pictures]
        files = sorted(map(str, pictures.glob("*.webp")))[:PICTURES]
        table = Table(connection, files)
        table.fill()
        connect.put(PREFIX, shop_connector(server, PREFIX, decimal__handling__mode="string"))
        settings = Settings.model_validate(changed)
        yield running.enter_context(ephemeral_settings(settings, "postgres")), table


def follow_postgres(
    given: Settings, pictures: Path, bars: Progress, *, changes: int, timed: int
) -> dict[str, Any]:
    """Change rows so many times, the first of them at `PER_S`; what came of it.

    Raises:
        ServerMissing: PostgreSQL, Kafka or Debezium cannot be had here.
    """
    with postgres_shop(given, pictures) as (settings, table):
        kafka = kafka_of(settings)
        wait_sent(kafka, 1)
        with Stack(settings, workers=("ingest", "query")) as stack:
            with bars.task("starting with PostgreSQL"):
                stack.wait_ready()
                wait_ingested(settings, stack)
            before = table.changes
            topics = topics_of(settings)
            with Client(kafka, topics, timeout_s=60) as client:
                timings = measure(kafka, TOPIC, topics.outcome.name, client, table, bars, timed)
            kills = change_all(table, stack, bars, before + changes)
            table.end()
            with bars.task("catching up"):
                wait_sent(kafka, END)
                wait_ingested(settings, stack)
            wrong = differences(settings, table.rows())
    return {
        "pg_changes": table.changes - before,
        "pg_kills": kills,
        "pg_products": len(table.ids) + 1,
        "pg_differences": len(wrong),
        "pg_first_difference": next(iter(wrong), None),
        **summary(timings),
    }


def change_all(table: Table, stack: Stack, bars: Progress, until: int) -> int:
    """Change rows as fast as it goes, and kill the ingest worker while it is behind."""
    first, kills = table.changes, 0
    with bars.task("changing", until - first) as task:
        while table.changes < until:
            with table.connection.transaction():
                for _ in range(min(table.rng.randrange(1, 6), until - table.changes)):
                    table.change()
            task(table.changes - first)
            stack.check()
            if kills < KILLS and table.changes - first > (until - first) * (kills + 1) / (
                KILLS + 1
            ):
                kills += kill_ingest()
    return kills


def kill_ingest() -> bool:
    """Kill the ingest worker with SIGKILL, if it runs; the stack starts another."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a zombie is one that has no command line
            if child.cmdline()[-2:] == ["worker", "ingest"]:
                child.kill()
                return True
    return False


def wait_sent(kafka: Kafka, product: int) -> None:
    """Wait until the connector has sent a row."""
    consumer = Consumer(kafka.consumer("unused"))
    deadline = time.monotonic() + CATCH_UP_S
    while TOPIC not in consumer.list_topics(timeout=10).topics:
        if time.monotonic() > deadline:
            raise TimeoutError("the connector sends nothing")
        time.sleep(0.2)
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    while time.monotonic() < deadline:
        message = consumer.poll(1.0)
        if message and not message.error():
            key = message.key()
            if key and orjson.loads(key) == {"id": product}:
                consumer.close()
                return
    raise TimeoutError(f"the connector did not send row {product}")


def wait_ingested(settings: Settings, stack: Stack) -> None:
    """Wait until the ingest worker has finished with all that was sent."""
    kafka, group = kafka_of(settings), settings.group("ingest")
    consumer = Consumer(kafka.consumer("unused"))
    _, end = consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=10)
    consumer.close()
    deadline = time.monotonic() + CATCH_UP_S
    while True:
        stack.check()
        with suppress(DeliveryStuck):
            wait_committed(kafka, group, TOPIC, {0: end}, timeout_s=1)
            return
        if time.monotonic() > deadline:
            raise TimeoutError("the ingest worker did not catch up")


def differences(settings: Settings, rows: dict[str, dict[str, Any]]) -> list[str]:
    """What is not the same in index and table."""
    collection, _ = open_catalog(settings)
    with collection:
        items = {item.product_id: item for page in collection.scan() for item in page}
    names = ("title", "description", "category", "image")
    held = {
        number: {name: item.payload[name] for name in names} | item.offer
        for number, item in items.items()
        if not item.is_tombstone
    }
    return [
        f"product {number}: {held.get(number)} in the index, {rows.get(number)} in the table"
        for number in sorted({*held, *rows})
        if held.get(number) != rows.get(number)
    ]
