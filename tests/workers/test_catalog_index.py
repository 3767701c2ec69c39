"""The index as several ingest workers hold it, each with products of its own, taking turns."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from index.item import Item, tombstone
from index.lifecycle.repartition import repartition
from index.prototypes.registry import BankRegistry
from index.search.retrieve import Request
from tests.servers.milvus import LiteServer
from workers.catalog_index import CatalogIndex, open_catalog
from workers.config.settings import Settings

pytestmark = pytest.mark.slow

DIM = 8
MODEL = "m"


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LiteServer(tmp_path_factory.mktemp("live") / "milvus") as server:
        yield server.uri


@pytest.fixture
def deployment(milvus: str, tmp_path: Path) -> Settings:
    name = f"live_{uuid4().hex[:8]}"
    where = {"uri": milvus, "kind": "lite", "collection": name}
    return Settings.model_validate({"data_dir": tmp_path, "milvus": where})


def item(product: str, price: float = 1.0, seed: int = 0) -> Item:
    vector = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    return Item(
        item_id=f"{product}#0",
        product_id=product,
        prototype=0,
        vector=vector / np.linalg.norm(vector),
        offer={"price": price},
    )


def prices(index: CatalogIndex, *products: str) -> list[float]:
    return [one.offer["price"] for one in index.stored(products) if not one.is_tombstone]


def test_two_processes_may_write_first(deployment: Settings) -> None:
    one, other = CatalogIndex(deployment, MODEL), CatalogIndex(deployment, MODEL)
    assert one.stored(["a"]) == other.stored(["b"]) == []
    for index, seed in ((one, 1), (other, 2)):  # each makes a bank of what it has
        index._first(np.array([item("", seed=seed).vector]))
    other.write([item("b", seed=2)])
    one.write([item("a", seed=1)])
    for index in (one, other):
        index.close()
        assert index.count() == 2
        assert prices(index, "a", "b") == [1.0, 1.0]


def test_products_of_another_process_are_read_again(deployment: Settings) -> None:
    one, other = CatalogIndex(deployment, MODEL), CatalogIndex(deployment, MODEL)
    one.write([item("a", 1.0, seed=1)])
    other.write([item("b", 1.0, seed=2)])  # now it knows its rows, and not those to come
    one.write([item("a", 2.0, seed=3), item("c", 2.0, seed=4)])
    other.close()
    assert prices(other, "a", "b", "c") == [2.0, 1.0, 2.0]
    other.write([item("a", 3.0, seed=5), tombstone("c#0", "c", DIM, {})])
    one.close()
    assert prices(one, "a", "b", "c") == [3.0, 1.0]
    one.write([item("c", 4.0, seed=6)])
    with open_catalog(deployment)[0] as collection:
        rows = [row.item_id for page in collection.scan(tombstones=True) for row in page]
    assert sorted(rows) == ["a#0", "b#0", "c#0"]


def test_a_sample_follows_the_catalog(deployment: Settings) -> None:
    reader, writer = CatalogIndex(deployment, MODEL), CatalogIndex(deployment, MODEL)
    assert reader.bank_version() == ""
    assert len(reader.sample(10)) == 0
    writer.write([item("a", seed=1), item("b", seed=2)])
    assert reader.bank_version()
    assert len(reader.sample(10)) == 2
    writer.write([item("c", seed=3)])
    assert len(reader.sample(10)) == 3
    with open_catalog(deployment)[0] as collection:
        repartition(collection, BankRegistry(deployment.data_dir), prototypes=3, grace_s=0).close()
    assert len(reader.sample(10)) == 3


def test_what_is_written_right_after_a_switch_is_found_at_once(deployment: Settings) -> None:
    reader, writer = CatalogIndex(deployment, MODEL), CatalogIndex(deployment, MODEL)
    request = Request(vector=np.eye(1, DIM, dtype=np.float32)[0], depth=10, block=10)
    writer.write([item("a", 1.0, seed=1), item("b", 1.0, seed=2)])

    def found() -> dict[str, float]:
        [retrieved] = reader.find([request]).retrieved
        return {hit.item.product_id: hit.item.offer["price"] for hit in retrieved.hits}

    def during_the_grace(_seconds: float) -> None:
        writer.write([item("a", 2.0, seed=1), tombstone("b#0", "b", DIM, {})])
        assert found() == {"a": 2.0}, "the old generation is still there, and is not asked"

    assert found() == {"a": 1.0, "b": 1.0}
    collection = writer.begin_copy()
    assert collection is not None
    repartition(collection, writer.registry, prototypes=2, writer=writer, wait=during_the_grace)
    assert found() == {"a": 2.0}
