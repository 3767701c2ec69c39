"""The collection, the same tests on Milvus Lite through its server and on a real Milvus."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from index.errors import (
    GenerationChanged,
    MilvusUnavailable,
    ModelMismatch,
    RowRejected,
    SearchIndexError,
)
from index.item import Item, tombstone
from index.milvus.collection import Collection
from index.milvus.config import MilvusConfig
from index.milvus.open import open_collection
from index.prototypes.bank import PrototypeBank
from index.prototypes.kmeans import build
from stream.embedded_broker import claim_port
from tests.index.conftest import python, unit_vectors
from tests.servers.milvus import LiteServer

VECTORS = unit_vectors(60)
BANK = build(VECTORS, "model-a")
QUOTES = [
    "plain",
    'q"uote',
    "s'ingle",
    "back\\slash",
    "é漢😀",
    'all\'"\\"',
    "%_like",
    "{x}",
    "a\tb",
]


def item(number: int, **changes: Any) -> Item:
    vector = changes.pop("vector", VECTORS[number])
    fields: dict[str, Any] = {
        "item_id": f"item-{number}",
        "product_id": f"product-{number // 2}",
        "prototype": int(BANK.assign(vector[None])[0][0]),
        "vector": vector,
        "payload": {"title": f"No. {number} é", "category": ["a", "b"], "image": None},
        "offer": {"price": 1.0, "in_stock": True, "attributes": {"size": 2**53 + 1, "x": -0.1}},
        "versions": {"content": number},
        "digest": "d" * 64,
        "juice": bytes(range(256)) * 8,
    }
    return Item(**(fields | changes))


@pytest.fixture
def collection(config: MilvusConfig, name: str) -> Iterator[Collection]:
    with open_collection(config, BANK, name) as opened:
        yield opened
        opened.drop_all()


def found(collection: Collection, vector: Any, limit: int = 3) -> list[str]:
    return [hit.item.item_id for hit in collection.search(vector[None], limit)[0]]


def test_it_can_be_read_before_anything_was_written(config: MilvusConfig, name: str) -> None:
    with open_collection(config, BANK, name) as collection:
        assert not collection.exists()
        assert collection.count() == 0
        assert collection.get(["product-0"]) == []
        assert collection.search(VECTORS[:2], 5) == [[], []]
        collection.delete(["item-0"])
        collection.flush()
        assert not collection.exists()


def test_items_are_read_back_unchanged(collection: Collection) -> None:
    collection.write([item(number) for number in range(40)])
    assert collection.exists()
    assert collection.count() == 40
    first, second = collection.get(["product-1", "unknown"], vectors=True)
    for out, into in ((first, item(2)), (second, item(3))):
        assert out.vector is not None
        assert np.array_equal(out.vector, VECTORS[int(out.item_id[5:])])
        for field in Item.__struct_fields__:
            if field != "vector":
                assert getattr(out, field) == getattr(into, field), field
    assert collection.get(["product-1"])[0].vector is None


def test_search_is_exact_in_scope_and_carries_the_juice(collection: Collection) -> None:
    collection.write([item(number) for number in range(60)])
    collection.flush()
    queries = unit_vectors(4, seed=9)
    prototypes = [None, None, [0, 1], [int(BANK.assign(queries[3:])[0][0])]]
    for query, wanted, hits in zip(
        queries, prototypes, collection.search(queries, 5, prototypes), strict=True
    ):
        # With one partition, Lite searches more than what it is asked for.
        every = wanted is None or collection.config.kind == "lite"
        scope = [
            number for number in range(60) if every or item(number).prototype in (wanted or ())
        ]
        exact = sorted(scope, key=lambda number: -float(VECTORS[number] @ query))[:5]
        assert [hit.item.item_id for hit in hits] == [f"item-{number}" for number in exact]
        for hit, number in zip(hits, exact, strict=True):
            assert hit.similarity == pytest.approx(float(VECTORS[number] @ query), abs=1e-5)
            assert hit.item.juice == item(number).juice


def test_a_sample_is_of_all_of_the_catalog(collection: Collection) -> None:
    assert collection.sample(40).shape == (0, VECTORS.shape[1])
    collection.write([item(number) for number in range(60)])
    collection.write([tombstone("item-7", "product-3", VECTORS.shape[1], {})])
    few = collection.sample(len(BANK))
    assert sorted(BANK.assign(few)[0].tolist()) == list(range(len(BANK)))
    left = {vector.tobytes() for vector in np.delete(VECTORS, 7, axis=0)}
    until = time.monotonic() + 10  # a server may answer with what there was a moment ago
    while {vector.tobytes() for vector in collection.sample(6000)} != left:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_writing_again_is_idempotent(collection: Collection) -> None:
    items = [item(number) for number in range(30)]
    collection.write(items)
    before = collection.content_hash()
    collection.write(items[::-1])
    assert (collection.count(), collection.content_hash()) == (30, before)
    collection.write([item(7, offer={"price": 2.0})])
    assert collection.content_hash() != before
    collection.write([item(7, versions={"content": 99})])
    assert collection.content_hash() == before


def test_a_scan_sees_every_row_once(collection: Collection, monkeypatch: Any) -> None:
    monkeypatch.setattr("index.milvus.generation.PAGE", 7)
    collection.write([item(number) for number in range(60)])
    collection.write([item(number) for number in range(0, 60, 3)])
    scanned = [out.item_id for page in collection.scan() for out in page]
    assert sorted(scanned) == sorted(f"item-{number}" for number in range(60))


def test_an_item_that_moves_leaves_no_copy(collection: Collection) -> None:
    collection.write([item(number) for number in range(20)])
    collection.flush()
    moved = item(0, vector=-VECTORS[0], product_id="another")
    assert moved.prototype != item(0).prototype
    collection.write([moved])
    assert collection.count() == 20
    assert [out.item_id for out in collection.get(["product-0"])] == ["item-1"]
    assert [out.prototype for out in collection.get(["another"])] == [moved.prototype]
    [stale] = collection.search(VECTORS[:1], 20, [[item(0).prototype]])
    copies = [hit.item.prototype for hit in stale if hit.item.item_id == "item-0"]
    assert copies in ([], [moved.prototype])  # Lite searches more than what it is asked for
    assert found(collection, -VECTORS[0])[0] == "item-0"


def test_an_interrupted_move_is_completed_by_the_same_event(collection: Collection) -> None:
    collection.write([item(number) for number in range(4)])
    moved = item(0, vector=-VECTORS[0], versions={"content": 2})
    remove = collection._delete_rows

    def die(row_ids: object) -> None:
        raise KeyboardInterrupt

    collection._delete_rows = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        collection.write([moved])
    collection._delete_rows = remove  # type: ignore[method-assign]
    assert found(collection, VECTORS[0])[0] == "item-0"
    assert found(collection, -VECTORS[0])[0] == "item-0"
    with open_collection(collection.config, BANK, collection.name) as restarted:
        assert restarted.get(["product-0"])[0].versions == {"content": 0}
        restarted.write([moved])
        assert restarted.count() == 4
        assert restarted.get(["product-0"])[0].versions == {"content": 2}


def test_a_tombstone_is_stored_but_never_found(collection: Collection) -> None:
    collection.write([item(number) for number in range(6)])
    before = collection.content_hash()
    grave = tombstone("item-9", "product-9", BANK.dim, {"delete": 5})
    collection.write([grave, tombstone("item-0", "product-0", BANK.dim, {"delete": 6})])
    assert collection.count() == 5
    assert [out.is_tombstone for out in collection.get(["product-0", "product-9"])] == [
        True,
        False,
        True,
    ]
    assert collection.get(["product-9"])[0].versions == {"delete": 5}
    everything = [hit.item.item_id for hit in collection.search(VECTORS[:1], 50)[0]]
    assert sorted(everything) == [f"item-{number}" for number in range(1, 6)]
    collection.write([item(0)])
    assert collection.content_hash() == before


def test_old_tombstones_are_purged(collection: Collection) -> None:
    assert collection.purge_tombstones(2**62) == 0
    collection.write([item(number) for number in range(6)])
    collection.write([tombstone("item-9", "product-9", BANK.dim, {"delete": 5})])
    between = time.time_ns()
    collection.write([tombstone("item-8", "product-8", BANK.dim, {"delete": 5})])
    before = collection.content_hash()
    assert collection.purge_tombstones(between) == 1
    assert [grave.item_id for grave in collection.get(["product-8", "product-9"])] == ["item-8"]
    assert collection.purge_tombstones(time.time_ns()) == 1
    assert collection.purge_tombstones(time.time_ns()) == 0
    assert collection.content_hash() == before
    assert collection.count() == 6


def test_delete_removes_items_and_ignores_unknown_ids(collection: Collection) -> None:
    collection.write([item(number) for number in range(6)])
    collection.delete(["item-1", "item-2", "never there"])
    collection.delete(["item-1"])
    collection.flush()
    assert collection.count() == 4
    assert collection.get(["product-1"])[0].item_id == "item-3"
    assert "item-1" not in found(collection, VECTORS[1], 10)


def test_any_text_can_be_an_id(collection: Collection) -> None:
    collection.write([item(k, item_id=q, product_id=q) for k, q in enumerate(QUOTES)])
    for quoted in QUOTES:
        assert [out.item_id for out in collection.get([quoted])] == [quoted]
    assert collection.count() == len(QUOTES)
    assert len(collection.content_hash()) == 64
    collection.delete(QUOTES)
    assert collection.count() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vector": None, "prototype": 0}, "no vector"),
        ({"vector": np.full(16, np.nan, np.float32), "prototype": 0}, "NaN"),
        ({"vector": np.ones(16, np.float32), "prototype": 0}, "length 4.0"),
        ({"vector": unit_vectors(1, 8)[0], "prototype": 0}, "shape"),
        ({"prototype": len(BANK)}, "not in a bank of"),
        ({"item_id": ""}, "item_id has 0 bytes"),
        ({"product_id": "é" * 300}, "product_id has 600 bytes"),
        ({"item_id": "\ud800"}, "Unicode"),
        ({"payload": {"title": "x" * 70_000}}, "payload has"),
        ({"offer": {"price": 2**70}}, "offer cannot be written"),
        ({"juice": bytes(50_000)}, "juice has 50000"),
    ],
)
def test_an_invalid_row_is_rejected_with_its_whole_batch(
    lite_config: MilvusConfig, name: str, changes: dict[str, Any], message: str
) -> None:
    if changes.get("vector", ...) is None:
        bad = msgspec.structs.replace(item(1), vector=None)
    else:
        bad = (
            item(1, **changes)
            if "prototype" not in changes
            else msgspec.structs.replace(item(1), **changes)
        )
    with open_collection(lite_config, BANK, name) as collection:
        with pytest.raises(RowRejected, match=message):
            collection.write([item(0), bad])
        assert not collection.exists()


def test_invalid_queries_are_rejected(lite_config: MilvusConfig, name: str) -> None:
    with open_collection(lite_config, BANK, name) as collection:
        for vectors, limit in ((VECTORS[:1] * 2, 5), (unit_vectors(1, 8), 5), (VECTORS[:1], 0)):
            with pytest.raises(RowRejected):
                collection.search(vectors, limit)


def test_another_model_is_a_clear_error(collection: Collection, config: MilvusConfig) -> None:
    collection.write([item(0)])
    with pytest.raises(ModelMismatch, match=r"'model-a'.*'model-b'.*reindex"):
        open_collection(config, PrototypeBank(BANK.centroids, model_id="model-b"), collection.name)
    other = build(unit_vectors(60, seed=4), "model-a")
    with pytest.raises(GenerationChanged) as caught:
        open_collection(config, other, collection.name)
    assert caught.value.bank_version == BANK.version


def test_an_unsupported_index_type_is_an_error(name: str) -> None:
    for kind in ("lite", "server"):
        config = MilvusConfig(uri="http://127.0.0.1:1", kind=kind, index_type="DISKANN")
        with pytest.raises(SearchIndexError, match="DISKANN"):
            open_collection(config, BANK, name)


@pytest.mark.parametrize("index_type", ["HNSW", "IVF_FLAT"])
def test_other_indexes_find_the_same(config: MilvusConfig, name: str, index_type: str) -> None:
    chosen = msgspec.structs.replace(config, index_type=index_type)
    with open_collection(chosen, BANK, name) as collection:
        collection.write([item(number) for number in range(60)])
        collection.flush()
        assert found(collection, VECTORS[5])[0] == "item-5"


def test_a_milvus_that_does_not_run_is_unavailable(name: str) -> None:
    config = MilvusConfig(uri=f"http://127.0.0.1:{claim_port()}", timeout_s=1)
    with pytest.raises(MilvusUnavailable, match="does not answer"):
        open_collection(config, BANK, name)


def test_a_token_is_never_shown() -> None:
    assert "secret" not in repr(MilvusConfig(uri="http://127.0.0.1:1", token="root:secret"))


SEARCHER = """
import sys
import numpy as np
from index.prototypes.bank import PrototypeBank
from index.milvus.config import MilvusConfig
from index.milvus.open import open_collection
uri, kind, name, path = sys.argv[1:]
arrays = np.load(path)
bank = PrototypeBank(arrays["centroids"], model_id="model-a")
store = MilvusConfig(uri=uri, kind=kind, consistency="Strong")
with open_collection(store, bank, name) as collection:
    print(collection.search(arrays["query"], 1)[0][0].item.item_id, collection.count())
"""


@pytest.mark.slow
def test_a_second_process_finds_what_the_first_wrote(
    collection: Collection, config: MilvusConfig, tmp_path: Any
) -> None:
    collection.write([item(number) for number in range(10)])
    np.savez(tmp_path / "in.npz", centroids=BANK.centroids, query=VECTORS[3:4])
    arguments = (config.uri, config.kind, collection.name, str(tmp_path / "in.npz"))
    assert python(SEARCHER, *arguments).split() == ["item-3", "10"]
    collection.delete(["item-4"])
    assert python(SEARCHER, *arguments).split() == ["item-3", "9"]


def test_rows_are_flushed_when_idle(lite_config: MilvusConfig, name: str) -> None:
    with open_collection(lite_config, BANK, name) as collection:
        collection.write([item(0)])
        deadline = time.monotonic() + 10
        while collection._idle is not None and time.monotonic() < deadline:  # type: ignore[attr-defined]
            time.sleep(0.05)
        assert collection._idle is None  # type: ignore[attr-defined]
        assert collection.count() == 1


@pytest.mark.slow
def test_a_killed_lite_server_has_every_row_after_a_restart(tmp_path: Path, name: str) -> None:
    with LiteServer(tmp_path / "lite") as server:
        config = MilvusConfig(uri=server.uri, timeout_s=2, flush_idle_s=60)
        with open_collection(config, BANK, name) as collection:
            collection.write([item(number) for number in range(10)])
            server.kill()
            with pytest.raises(MilvusUnavailable, match="does not answer"):
                collection.get(["product-1"])
            server.up()
            assert found(collection, VECTORS[3])[0] == "item-3"
            collection.write([item(11)])
            assert collection.count() == 11


def test_a_collection_on_lite_keeps_its_partitions(
    lite_config: MilvusConfig, name: str, monkeypatch: Any
) -> None:
    """Those of before there was one for all items."""
    with monkeypatch.context() as before:
        before.setattr("index.milvus.lite_layout.PARTITIONS", 64)
        with open_collection(lite_config, BANK, name) as opened:
            opened.write([item(number) for number in range(20)])
    with open_collection(lite_config, BANK, name) as opened:
        moved = item(0, vector=-VECTORS[0])
        opened.write([moved, item(20)])
        assert opened.count() == 21
        assert opened.get(["product-0"])[0].prototype == moved.prototype
        assert found(opened, -VECTORS[0])[0] == "item-0"
        assert sum(len(page) for page in opened.scan()) == 21
        opened.drop_all()
