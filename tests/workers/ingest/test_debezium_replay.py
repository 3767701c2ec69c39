"""A table's changes, in each mode of Debezium, through the real steps: the index is the table."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stream.delivery import Delivery, Outcome, Rejection, State
from stream.records import Record
from tests.doubles.colours import COLOURS, ColourEncoder, picture_png
from tests.doubles.debezium import MODES, Mode, Pair, Table
from workers.catalog_index import CatalogIndex
from workers.config.sections import IntakeSettings
from workers.config.settings import Settings
from workers.ingest.last_write_wins import Change
from workers.ingest.read_event import reader_of
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher

FIRST_MS = 1_700_000_000_000
TOPIC = "shop.public.products"
CATALOG = {
    "topics": [TOPIC],
    "map": {
        "product_id": "id",
        "title": "name",
        "description": "descr",
        "category": "split(path, '>')",
        "image": "img",
        "price": "price",
        "currency": "'EUR'",
        "attributes": ["color", "specs"],
    },
    "when": {"filter": "published", "deleted": "deleted_at is not null"},
}


class Killed(BaseException):
    pass


class Worker:
    """The ingest worker's steps on an index of its own, killed where it is told to be."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.acked = 0
        self.letters: list[str] = []

    async def run(self, records: Sequence[Record], kill: dict[int, str], batch: int) -> None:
        """Deliver from the last acked record on; each kill by its offset, once."""
        encoder = ColourEncoder()
        index = CatalogIndex(self._settings, encoder.model_id)
        intake = IntakeSettings(roots=(self._settings.data_dir,))
        try:
            async with open_fetcher(intake) as fetcher:
                reader = reader_of(self._settings)
                steps = Ingest(fetcher, encoder, index, reader=reader)
                while some := records[self.acked : self.acked + batch]:
                    stage = kill.pop(some[0].offset, "")

                    async def prepare(
                        taken: Sequence[Record], stage: str = stage
                    ) -> list[Change | State | Rejection]:
                        prepared = await steps.prepare(taken)
                        if stage == "ABORT before write":
                            raise Killed
                        return prepared

                    async def write(changes: Sequence[Change], stage: str = stage) -> list[Outcome]:
                        written = await steps.write(changes)
                        if stage == "ABORT before ack":
                            raise Killed
                        return written

                    await Delivery(prepare, write, self._bury).deliver(some)
                    self.acked += len(some)
        finally:
            index.close()

    def products(self) -> dict[str, Any]:
        """What the index holds now."""
        encoder = ColourEncoder()
        index = CatalogIndex(self._settings, encoder.model_id)
        found = {
            item.product_id: {
                "title": item.payload["title"],
                "description": item.payload["description"],
                "category": item.payload["category"],
                "image": item.payload["image"],
                **item.offer,
            }
            for item in index.stored([str(number) for number in range(20)])
            if not item.is_tombstone
        }
        index.close()
        return found

    async def _bury(self, record: Record, why: Rejection, _attempts: int) -> None:
        self.letters.append(f"{record.offset}: {why.reason}")


def settings_of(folder: Path, catalog: dict[str, Any]) -> Settings:
    milvus = {"uri": str(folder / "milvus.db"), "kind": "lite"}
    return Settings.model_validate({"data_dir": folder, "milvus": milvus, "catalog": catalog})


def expected(table: Table) -> dict[str, Any]:
    return {
        str(row["id"]): {
            "title": row["name"],
            "description": row["descr"],
            "category": row["path"].split(">"),
            "image": row["img"],
            "price": float(row["price"]),
            "currency": "EUR",
            "attributes": {"color": row["color"], "specs": row["specs"]},
        }
        for row in table.rows.values()
        if row["published"] and row["deleted_at"] is None
    }


def changes(table: Table, rng: random.Random, pictures: Sequence[str], many: int) -> Iterator[Pair]:
    """Random changes of the rows."""
    seen = 0

    def row(key: int) -> dict[str, Any]:
        return {"id": key, "name": f"name {rng.random()}", "descr": f"large text {rng.random()}",
                "path": rng.choice(["Food>Milk", "Food>Bread", "Toys"]),
                "img": rng.choice(pictures), "price": Decimal(rng.randrange(40_000)).scaleb(-2),
                "color": rng.choice(["red", "blue"]), "specs": f"large specs {rng.random()}",
                "published": rng.random() < 0.9, "deleted_at": None}  # fmt: skip

    for key in range(4):
        table.rows[key] = row(key)
    yield from table.snapshot()
    while seen < many:
        seen += 1
        free = [key for key in range(12) if key not in table.rows]
        kind = rng.choice(["insert", "update", "update", "update", "delete", "move", "hide"])
        if kind == "insert" and free:
            yield from table.insert(row(rng.choice(free)))
        elif not table.rows:
            continue
        elif kind == "move" and free:
            yield from table.move(rng.choice(list(table.rows)), rng.choice(free))
        elif kind == "delete":
            yield from table.delete(rng.choice(list(table.rows)))
        elif kind == "hide":
            key = rng.choice(list(table.rows))
            yield from table.update(key, published=False)
        else:
            key = rng.choice(list(table.rows))
            fresh = row(key)
            names = rng.sample(["name", "descr", "path", "img", "price", "color", "specs"], 2)
            change = {name: fresh[name] for name in names}
            if not table.rows[key]["published"]:  # nobody knows the large values any more
                change |= {name: fresh[name] for name in ("descr", "specs", "published")}
            yield from table.update(key, **change)


FAST = ("schema",)
BY_LANE = [
    pytest.param(mode, id=mode.name, marks=() if mode.name in FAST else pytest.mark.slow)
    for mode in MODES
]


@pytest.mark.parametrize("mode", BY_LANE)
async def test_the_index_is_the_table(mode: Mode, tmp_path: Path) -> None:
    rng = random.Random(mode.name)
    pictures = [str(tmp_path / f"{colour}.png") for colour in COLOURS[:3]]
    for colour in COLOURS[:3]:
        (tmp_path / f"{colour}.png").write_bytes(picture_png(colour))
    table = Table(mode)
    records = [
        Record(
            topic=TOPIC,
            partition=0,
            offset=offset,
            key=key,
            value=value,
            timestamp_ms=FIRST_MS + offset // 3,
        )
        for offset, (key, value) in enumerate(changes(table, rng, pictures, 60))
    ]
    worker = Worker(settings_of(tmp_path, CATALOG))
    kill = {
        offset: rng.choice(["ABORT before write", "ABORT before ack"])
        for offset in rng.sample(range(len(records)), 6)
    }
    while worker.acked < len(records):
        try:
            await worker.run(records, kill, batch=rng.randrange(1, 7))
        except Killed:
            continue
    assert worker.letters == []
    assert worker.products() == expected(table)
    worker.acked = len(records) // 3  # delivered once more
    await worker.run(records, {}, batch=5)
    assert worker.products() == expected(table)
    again = [  # a connector that was killed sends what it had not noted as sent, with new times
        replace(one, offset=len(records) + number, timestamp_ms=one.timestamp_ms + 60_000)
        for number, one in enumerate(records[len(records) // 2 :])
    ]
    worker.acked = len(records)
    await worker.run([*records, *again], {}, batch=5)
    if mode.versioned:  # else an old change after its row's delete is taken for a new one
        assert worker.letters == []
    assert worker.products() == expected(table)
