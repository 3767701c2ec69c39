"""The mirror holds what Milvus Lite holds, whatever died when."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from index.errors import GenerationChanged, MilvusUnavailable, SearchIndexError
from index.item import Item, tombstone
from index.milvus.collection import Collection
from index.milvus.config import MilvusConfig
from index.milvus.lite_layout import LiteCollection
from index.milvus.mirror_files import delete_mirror
from index.milvus.open import open_collection
from index.prototypes.kmeans import build
from index.search.retrieve import Retriever
from tests.index.conftest import unit_vectors

VECTORS = unit_vectors(40)
BANK = build(VECTORS, "m", prototypes=4)
PROTOTYPES, _ = BANK.assign(VECTORS)


def item(number: int, price: float = 1.0) -> Item:
    """The picture of a product; two have one product."""
    return Item(
        item_id=f"p{number // 2}#{number % 2}",
        product_id=f"p{number // 2}",
        prototype=int(PROTOTYPES[number]),
        vector=VECTORS[number],
        payload={"category": ["a", "b"]},
        offer={"price": price},
    )


@pytest.fixture
def config(lite_config: MilvusConfig, tmp_path: Path) -> MilvusConfig:
    return msgspec.structs.replace(lite_config, mirror_dir=str(tmp_path / "mirror"))


@pytest.fixture
def collection(config: MilvusConfig, name: str) -> Iterator[Collection]:
    with open_collection(config, BANK, name) as opened:
        opened.write([item(number) for number in range(20)])
        yield opened
        opened.drop_all()


@pytest.fixture
def reader(config: MilvusConfig, collection: Collection) -> Iterator[Retriever]:
    with open_collection(config, BANK, collection.name) as opened:
        yield Retriever(opened)


def held(reader: Retriever) -> dict[str, float | None]:
    """The keys in the table and the prices of their products."""
    reader.refresh()
    table = reader.table
    rows = table.rows(table.select(None))
    prices = table.prices(table.slots_of(rows)).tolist()
    return dict(zip([table.row_id(row) for row in rows], prices, strict=True))


def stored(collection: Collection) -> dict[str, float | None]:
    """The same, as Milvus has it; a product's price is that of its first item."""
    rows = [
        row
        for page in collection._all_rows(["row_id", "item_id", "product_id", "offer", "prototype"])
        for row in page
        if row["prototype"] >= 0
    ]
    first = {
        row["product_id"]: row["offer"].get("price")
        for row in sorted(rows, key=lambda row: str(row["item_id"]), reverse=True)
    }
    return {row["row_id"]: first[row["product_id"]] for row in rows}


def test_it_follows_every_write(collection: Collection, reader: Retriever) -> None:
    assert held(reader) == stored(collection)
    collection.write([item(0, 5.0), item(1, 5.0)])
    collection.write([msgspec.structs.replace(item(4), prototype=(PROTOTYPES[4] + 1) % 4)])
    collection.write([tombstone("p3#0", "p3", BANK.dim, {})])
    collection.delete(["p3#1", "p4#1"])
    assert held(reader) == stored(collection)
    assert len(reader.table) == 9
    vector = reader.table.vectors(np.array([reader.table.row(next(iter(held(reader))))]))
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_between_queries_it_is_followed_page_by_page(
    collection: Collection, reader: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(reader)
    assert not reader.follow()
    monkeypatch.setattr("index.milvus.mirror.PAGE", 2)
    for number in range(12):
        collection.write([item(number, 7.0)])
    assert reader.follow()
    prices = reader.table.prices(
        reader.table.slots_of(reader.table.rows(reader.table.select(None)))
    )
    assert 0 < (prices == 7.0).sum() < 12
    while reader.follow():
        pass
    seen = reader._seen
    assert held(reader) == stored(collection)
    assert reader._seen == seen


def test_a_mirror_that_another_process_has_made_anew_is_not_gone_on_with(
    config: MilvusConfig, collection: Collection, reader: Retriever
) -> None:
    expected = held(reader)
    delete_mirror(Path(str(config.mirror_dir)), collection.generation)
    with open_collection(config, BANK, collection.name) as other:
        assert held(Retriever(other)) == expected
    with pytest.raises(GenerationChanged, match="open it again"):
        reader.refresh()
    with pytest.raises(GenerationChanged):
        collection.write([item(0, 7.0)])


@pytest.mark.parametrize("half", [False, True], ids=["before Milvus", "after Milvus"])
def test_a_write_that_was_cut_off_is_read_from_milvus(
    collection: LiteCollection, reader: Retriever, monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    held(reader)
    call = type(collection)._call

    def dies(self: Collection, method: str, **kwargs: object) -> object:
        if method == "upsert_columns":
            if half:
                call(self, method, **kwargs)
            raise MilvusUnavailable("gone")
        return call(self, method, **kwargs)

    with monkeypatch.context() as cut:
        cut.setattr(type(collection), "_call", dies)
        with pytest.raises(MilvusUnavailable):
            collection.write([item(0, 7.0)])
    assert held(reader) == stored(collection)
    assert (7.0 in held(reader).values()) == half
    collection.write([item(0, 8.0), item(1, 8.0)])
    assert held(reader) == stored(collection)


def test_a_killed_writer_leaves_nothing_behind(
    config: MilvusConfig, collection: Collection, reader: Retriever
) -> None:
    """Killed between the two writes: the kernel drops its lock, and the reader heals."""
    held(reader)
    program = """
import os, sys
from index.milvus.mirror import Mirror
from index.milvus.open import open_collection
from tests.index.milvus.test_mirror import BANK, MilvusConfig, item

Mirror.put = lambda *_: os._exit(9)
config = MilvusConfig(uri=sys.argv[1], kind="lite", mirror_dir=sys.argv[2])
open_collection(config, BANK, sys.argv[3]).write([item(0, 6.0), item(1, 6.0), item(30)])
"""
    arguments = [config.uri, str(config.mirror_dir), collection.name]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=False, timeout=60, env=os.environ
    )
    assert done.returncode == 9
    assert held(reader) == stored(collection)
    assert list(held(reader).values()).count(6.0) == 2


@pytest.mark.slow
def test_writers_that_are_killed_at_any_moment(
    config: MilvusConfig, collection: Collection, reader: Retriever
) -> None:
    """Two of them, each with products of its own, killed and started again while it is read."""
    program = """
import random, sys
from index.item import tombstone
from index.milvus.open import open_collection
from tests.index.milvus.test_mirror import BANK, MilvusConfig, item

config = MilvusConfig(uri=sys.argv[1], kind="lite", mirror_dir=sys.argv[2], flush_idle_s=0.05)
collection = open_collection(config, BANK, sys.argv[3])
share, rng = int(sys.argv[4]), random.Random()
while True:
    kept, gone = rng.sample(range(share, 20, 2), 2)
    price = float(rng.randrange(100))
    both = [item(2 * kept, price), item(2 * kept + 1, price)]
    collection.write([*both, tombstone(f"p{gone}#0", f"p{gone}", BANK.dim, {})])
    collection.delete([f"p{gone}#1"])
"""

    def start(share: int) -> subprocess.Popen[bytes]:
        arguments = [config.uri, str(config.mirror_dir), collection.name, str(share)]
        return subprocess.Popen([sys.executable, "-c", program, *arguments])

    rng = random.Random(0)
    writers = [start(0), start(1)]
    for kill in range(6):
        enough = (reader._seen or 0) + rng.randrange(5, 40)
        while (reader._seen or 0) < enough:
            held(reader)
        share = kill % 2
        writers[share].kill()
        writers[share].wait()
        writers[share] = start(share)
    for writer in writers:
        writer.kill()
        writer.wait()
    # A writer that comes back deletes what its predecessor left of a move or a delete.
    again = [item(number, 1.0) for number in range(40)]
    collection.close()
    with open_collection(config, BANK, collection.name) as opened:
        assert held(reader).keys() <= stored(opened).keys()
        opened.write(again)
        assert held(reader) == stored(opened)
        assert reader.table.items == 40


def test_while_a_writer_lives_the_state_before_it_counts(
    collection: LiteCollection, reader: Retriever
) -> None:
    before = held(reader)
    mirror = collection._mirror()
    assert mirror is not None
    with mirror.writing(["p0", "p1"]):
        assert held(reader) == before


def test_a_catalog_without_a_mirror_gets_one(
    lite_config: MilvusConfig, config: MilvusConfig, name: str
) -> None:
    with open_collection(lite_config, BANK, name) as before:
        before.write([item(number) for number in range(10)])
        before.write([tombstone("p0#0", "p0", BANK.dim, {})])
        with pytest.raises(SearchIndexError, match="no mirror"):
            before.changes(None)
    with open_collection(config, BANK, name) as collection:
        reader = Retriever(collection)
        assert held(reader) == stored(collection)
        collection.drop_all()
    assert config.mirror_dir is not None
    assert list(Path(config.mirror_dir).iterdir()) == []


def test_a_mirror_that_lacks_items_is_built_anew(
    config: MilvusConfig, collection: Collection, name: str
) -> None:
    assert config.mirror_dir is not None
    [file] = Path(config.mirror_dir).glob("*.sqlite3")
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM item WHERE product_id = 'p1'")
    database.close()
    with open_collection(config, BANK, collection.name) as opened:
        reader = Retriever(opened)
        assert held(reader) == stored(collection)


def test_a_mirror_of_before_the_machine_was_started_is_built_anew(
    config: MilvusConfig,
    collection: Collection,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A loss of power may have taken the last writes to it."""
    assert config.mirror_dir is not None
    [file] = Path(config.mirror_dir).glob("*.sqlite3")
    with sqlite3.connect(file) as database:
        database.execute('UPDATE item SET fields = \'[[], {}, "", ""]\'')
    database.close()
    (tmp_path / "boot_id").write_text("another")
    with open_collection(config, BANK, collection.name) as same_boot:
        assert held(Retriever(same_boot)) != stored(collection)
    monkeypatch.setattr("index.milvus.mirror.BOOT_ID", tmp_path / "boot_id")
    with open_collection(config, BANK, collection.name) as next_boot:
        assert held(Retriever(next_boot)) == stored(collection)


def test_a_damaged_mirror_is_built_anew(config: MilvusConfig, collection: Collection) -> None:
    assert config.mirror_dir is not None
    collection.close()
    [file] = Path(config.mirror_dir).glob("*.sqlite3")
    file.write_bytes(b"no database" * 1000)
    with open_collection(config, BANK, collection.name) as opened:
        assert held(Retriever(opened)) == stored(collection)


def test_a_mirror_that_cannot_be_written_stops_writing(
    collection: Collection, reader: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written to Milvus that filters would not know of."""
    before = held(reader)
    mirror = collection._mirror()  # type: ignore[attr-defined]
    mirror._connected().execute("PRAGMA query_only = 1")
    with pytest.raises(MilvusUnavailable, match="cannot be used"):
        collection.write([item(0, 9.0), item(1, 9.0)])
    mirror._connected().execute("PRAGMA query_only = 0")
    assert held(reader) == stored(collection) == before
    collection.write([item(0, 9.0), item(1, 9.0)])
    assert held(reader) == stored(collection) != before


def test_a_large_catalog_is_read_in_pages(
    collection: Collection, reader: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.milvus.mirror.PAGE", 2)
    for number in range(0, 20, 2):
        collection.write([item(number, number)])
    assert held(reader) == stored(collection)


def test_rows_are_read_from_it_as_milvus_has_them(
    collection: LiteCollection, reader: Retriever
) -> None:
    full = msgspec.structs.replace(
        item(3),
        payload={"title": "é", "category": ["a"], "image": None},
        versions={"content": 2},
        digest="d",
        juice=bytes(range(256)),
    )
    collection.write([full])
    reader.refresh()
    keys = [reader.table.row_id(row) for row in reader.table.rows(reader.table.select(None))]
    from_milvus = super(LiteCollection, collection).fetch([*keys, "gone-0"], vectors=True)
    from_mirror = reader.collection.fetch([*keys, "gone-0"], vectors=True)
    assert set(from_mirror) == set(keys) == set(from_milvus)
    for one, found in from_mirror.items():
        expected = from_milvus[one]
        np.testing.assert_array_equal(found.vector, expected.vector)
        for name in ("item_id", "product_id", "prototype", "payload", "offer", "versions"):
            assert getattr(found, name) == getattr(expected, name)
        assert (found.digest, found.juice) == (expected.digest, expected.juice)
    assert reader.collection.fetch(keys[:1])[keys[0]].vector is None


def test_a_mirror_in_another_format_is_built_anew(
    config: MilvusConfig, collection: LiteCollection
) -> None:
    collection.close()
    assert config.mirror_dir is not None
    [path] = Path(config.mirror_dir).glob("*.sqlite3")
    database = sqlite3.connect(path)
    database.executescript(
        "DROP TABLE item; CREATE TABLE item (item_id TEXT PRIMARY KEY, product_id TEXT, "
        "row_id TEXT, fields BLOB, vector BLOB); PRAGMA user_version = 1;"
    )
    database.close()
    with open_collection(config, BANK, collection.name) as opened:
        reader = Retriever(opened)
        assert held(reader) == stored(collection)
        assert len(reader.first_items(["p1"])) == 1


@pytest.fixture
def two_copies(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """Two items were moved and one was restored by writers that died before they took away."""
    collection.write([tombstone("p5#1", "p5", BANK.dim, {})])
    with monkeypatch.context() as dying:
        dying.setattr(LiteCollection, "_delete_rows", lambda *_: None)
        for number in (4, 6):
            moved = (int(PROTOTYPES[number]) + 1) % len(BANK)
            collection.write([msgspec.structs.replace(item(number, 7.0), prototype=moved)])
        collection.write([item(11, 7.0)])
    collection.close()
    return collection


@pytest.mark.parametrize("page", [2, 1000])
def test_of_two_copies_the_newer_is_in_a_mirror_that_is_built_anew(
    config: MilvusConfig, two_copies: Collection, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.milvus.generation.PAGE", page)
    with open_collection(config, BANK, two_copies.name) as opened:
        assert opened.count() == 22
        found = opened.fetch([*held(Retriever(opened))])
        prices = {item.item_id: item.offer["price"] for item in found.values()}
        changed = dict.fromkeys(["p2#0", "p3#0", "p5#1"], 7.0)
        assert prices == {item(number).item_id: 1.0 for number in range(20)} | changed


def test_a_writer_takes_away_the_copies_that_others_left(
    config: MilvusConfig, two_copies: Collection
) -> None:
    with open_collection(config, BANK, two_copies.name) as opened:
        before = held(Retriever(opened))
        opened.warm_writing()
        assert opened.count() == 20
        assert stored(opened) == before == held(Retriever(opened))
