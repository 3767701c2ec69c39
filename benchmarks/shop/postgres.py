"""A shop in PostgreSQL that Debezium follows: is the index the table, and how soon is it so?

Products of a table change by SQL alone: prices, stocks, titles, new rows, other keys, deletes.
First at a constant rate, and what was committed is asked for until it is found; then as fast as it
goes, while the ingest worker is killed twice. In the end every product of the index is compared
with its row.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
import psycopg
from confluent_kafka import Consumer, TopicPartition

from stream.connection import Kafka
from stream.errors import DeliveryStuck
from stream.messages import Query
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

TABLE = """
CREATE TABLE products (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    path text NOT NULL,
    price numeric(12, 2) NOT NULL,
    stock integer NOT NULL DEFAULT 0,
    image text,
    details text NOT NULL,
    attributes jsonb NOT NULL
);
ALTER TABLE products ALTER COLUMN details SET STORAGE EXTERNAL;
"""
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
LARGE = "Made of oats and water, without sugar. " * 65
"""A text that is stored out of line, and logged only when it changes."""
ROWS = 200
PICTURES = 12
PER_S = 20.0
KILLS = 2
SLOWEST_S = 60.0
END = 10**9
"""The id of the last row: what was changed before it has been sent when it has."""


@dataclass
class Table:
    """The rows, and random changes of them."""

    connection: psycopg.Connection[Any]
    pictures: list[str]
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    ids: list[int] = field(default_factory=list)
    changes: int = 0
    _last: int = 0

    def fill(self) -> None:
        """Make the table, with its first rows."""
        self.connection.execute(TABLE)
        for _ in range(ROWS):
            self.insert()

    def insert(self) -> None:
        """A new row; every other one has a large text."""
        self._last += 1
        number = self._last
        picture = self.pictures[number] if number < len(self.pictures) else None
        self._run(
            "INSERT INTO products VALUES (%s, %s, 'Food>Milk', %s, 3, %s, %s, %s)",
            number,
            f"Oat milk {number}",
            self._price(),
            picture,
            "short" if number % 2 else LARGE,
            '{"color": "red"}',
        )
        self.ids.append(number)

    def change_price(self, number: int) -> float:
        """A price that no product had; returns it."""
        price = self._price()
        self._run("UPDATE products SET price = %s WHERE id = %s", price, number)
        return price

    def change(self) -> None:
        """One change of any kind."""
        number = self.rng.choice(self.ids)
        kind = self.rng.random()
        if kind < 0.7:
            self.change_price(number)
        elif kind < 0.8:
            self._run("UPDATE products SET stock = 3 - stock WHERE id = %s", number)
        elif kind < 0.86:
            self._run("UPDATE products SET name = %s WHERE id = %s", self._name(), number)
        elif kind < 0.88 or len(self.ids) < ROWS:
            self.insert()
        elif kind < 0.93:
            self._run("DELETE FROM products WHERE id = %s", number)
            self.ids.remove(number)
        else:
            self._move(number)

    def end(self) -> None:
        """The last row."""
        self._run(
            "INSERT INTO products VALUES (%s, 'End', 'Food>Milk', 0, 0, NULL, 'end', '{}')", END
        )

    def rows(self) -> dict[str, dict[str, Any]]:
        """What the index has to hold."""
        query = "SELECT id, name, details, path, price, stock, image, attributes FROM products"
        return {
            str(number): {
                "title": name,
                "description": details,
                "category": path.split(">"),
                "image": image,
                "price": float(price),
                "currency": "EUR",
                "in_stock": stock > 0,
                "attributes": attributes,
            }
            for number, name, details, path, price, stock, image, attributes in (
                self.connection.execute(query)
            )
        }

    def _move(self, number: int) -> None:
        """Another key. A large text that stays as it is would be missing from the new row's event,
        so it is written with it."""
        self._last += 1
        self._run(
            "UPDATE products SET id = %s, details = details || '' WHERE id = %s", self._last, number
        )
        self.ids[self.ids.index(number)] = self._last

    def _price(self) -> float:
        return (self.changes + 1) / 100

    def _name(self) -> str:
        return f"Oat milk of {self.changes}"

    def _run(self, statement: str, *values: Any) -> None:
        self.connection.execute(statement.encode(), values)
        self.changes += 1


class Searcher:
    """Asks for what was committed until it is found, in a thread of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._wanted: dict[tuple[str, float], float] = {}
        self._done = threading.Event()
        self.took: list[float] = []
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def committed(self, product_id: int, price: float) -> None:
        """A new price was committed right now."""
        self._wanted[str(product_id), price] = time.monotonic()

    def finish(self) -> None:
        """Wait until all is found."""
        self._done.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._done.is_set() or self._wanted:
            wanted = dict(self._wanted)
            if not wanted:
                time.sleep(0.005)
                continue
            ids = ", ".join(number for number, _ in wanted)
            asked = f"product_id:=[{ids}]"
            query = Query(
                query_id=uuid.uuid4().hex, schema=2, text="milk", filter=asked, top=len(wanted)
            )
            found = {(one.product_id, one.price) for one in self._client.search(query).items}
            now = time.monotonic()
            for one, since in wanted.items():
                if one in found:
                    self.took.append(now - since)
                    del self._wanted[one]
                elif now - since > SLOWEST_S:
                    raise TimeoutError(f"product {one[0]} was not found within {SLOWEST_S:g} s")


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
            with Client(kafka, topics_of(settings), timeout_s=60) as client:
                took = measure(table, client, bars, timed)
            kills = change_all(table, stack, bars, before + changes)
            table.end()
            with bars.task("catching up"):
                wait_sent(kafka, END)
                wait_ingested(settings, stack)
            wrong = differences(settings, table.rows())
    milliseconds = 1000 * np.array(took)
    return {
        "pg_changes": table.changes - before,
        "pg_kills": kills,
        "pg_products": len(table.ids) + 1,
        "pg_differences": len(wrong),
        "pg_first_difference": next(iter(wrong), None),
        "commit_to_searchable_samples": len(took),
        "commit_to_searchable_p50_ms": round(float(np.median(milliseconds))),
        "commit_to_searchable_p95_ms": round(float(np.quantile(milliseconds, 0.95))),
        "commit_to_searchable_max_ms": round(float(milliseconds.max())),
    }


def measure(table: Table, client: Client, bars: Progress, many: int) -> list[float]:
    """Seconds from each commit until a query finds what was committed."""
    searcher = Searcher(client)
    began = time.monotonic()
    for number in bars.track(range(many), "changing at a constant rate", many):
        time.sleep(max(0.0, began + number / PER_S - time.monotonic()))
        product = table.ids[number % len(table.ids)]
        searcher.committed(product, table.change_price(product))
    searcher.finish()
    return searcher.took


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
                kill_ingest()
                kills += 1
    return kills


def kill_ingest() -> None:
    """Kill the ingest worker with SIGKILL; the stack starts another."""
    children = psutil.Process().children(recursive=True)
    [worker] = [one for one in children if one.cmdline()[-2:] == ["worker", "ingest"]]
    worker.kill()


def wait_sent(kafka: Kafka, product: int) -> None:
    """Wait until the connector has sent a row."""
    consumer = Consumer(kafka.consumer("unused"))
    deadline = time.monotonic() + 120
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
    deadline = time.monotonic() + 300
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
