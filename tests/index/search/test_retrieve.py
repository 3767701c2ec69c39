"""Retrieval through a filter is what brute force finds, on both layouts, whatever was written."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from index.item import Item, tombstone
from index.milvus.collection import Collection
from index.milvus.config import MilvusConfig
from index.milvus.open import open_collection
from index.prototypes.bank import PrototypeBank
from index.prototypes.kmeans import build
from index.search import retrieve
from index.search.facets import parse_facets
from index.search.filter import parse_filter
from index.search.retrieve import Order, Request, Retrieved, Retriever
from index.vectors import Matrix, stack
from tests.index.search import brute_force as brute

DIM = 16
FACETS = parse_facets(brute.FACETS)
BLOCK = 10


def assigned(items: list[Item], bank: PrototypeBank) -> list[Item]:
    prototypes, _ = bank.assign(stack(items))
    return [
        msgspec.structs.replace(item, prototype=int(one))
        for item, one in zip(items, prototypes, strict=True)
    ]


ITEMS = brute.products(300, DIM)
BANK = build(stack(ITEMS), "m", prototypes=8)
ITEMS = assigned(ITEMS, BANK)
CATALOG = brute.Catalog(ITEMS)
PRICED = {item.product_id for item in ITEMS if brute.price(item) is not None}


@pytest.fixture
def mirrored(config: MilvusConfig, tmp_path: Path) -> MilvusConfig:
    return msgspec.structs.replace(config, mirror_dir=str(tmp_path / "mirror"))


@pytest.fixture
def collection(mirrored: MilvusConfig, name: str) -> Iterator[Collection]:
    """One with all items, for its writer."""
    with open_collection(mirrored, BANK, name) as opened:
        opened.write(ITEMS)
        yield opened
        opened.drop_all()


@pytest.fixture
def reader(mirrored: MilvusConfig, collection: Collection) -> Iterator[Retriever]:
    """A retriever as another process has it."""
    with open_collection(mirrored, BANK, collection.name) as opened:
        yield Retriever(opened)


def ask(reader: Retriever, query: Matrix, text: str = "", depth: int = BLOCK) -> Retrieved:
    [found] = reader.retrieve([Request(query, depth, BLOCK, parse_filter(text), FACETS)])
    return found


def check(
    found: Retrieved, catalog: brute.Catalog, passing: set[str], query: Matrix, depth: int = BLOCK
) -> None:
    """Hits, facets and their number are those of brute force."""
    expected = catalog.nearest(passing, query, depth)
    assert [hit.item.product_id for hit in found.hits] == [product for product, _ in expected]
    cosines = [cosine for _, cosine in expected]
    assert [hit.similarity for hit in found.hits] == pytest.approx(cosines, abs=1e-5)
    assert found.found == len(passing)
    assert found.entire == (len(expected) == found.found)
    for counted in found.facets:
        got = {(brute.kind(one.value), one.value): one.count for one in counted.counts}
        assert {key: n for key, n in got.items() if n} == catalog.facet(counted.facet.text, passing)


def check_random(
    reader: Retriever, catalog: brute.Catalog, rng: random.Random, filters: int
) -> None:
    """Random filters and queries find what brute force does."""
    for _ in range(filters):
        wanted, query = brute.random_filter(rng), rng.choice(catalog.items).vector
        assert query is not None
        check(ask(reader, query, wanted.text), catalog, catalog.passing(wanted), query)


def test_random_filters(reader: Retriever) -> None:
    check_random(reader, CATALOG, random.Random(0), 40)


def test_rows_that_are_not_in_the_table_are_searched_for_or_read_by_key(
    reader: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a server with more items: few pass and are read, or many do and are searched for."""
    monkeypatch.setattr(retrieve, "WALK", 60)
    monkeypatch.setattr("index.search.table.Table.has_vectors", False)
    check_random(reader, CATALOG, random.Random(2), 20)
    monkeypatch.setattr(retrieve, "MAX_HITS", 12)  # where Milvus gives no more
    query = ITEMS[0].vector
    assert query is not None
    check(ask(reader, query, "price:>=0"), CATALOG, PRICED, query)


def test_what_was_written_is_found_at_once(collection: Collection, reader: Retriever) -> None:
    query = ITEMS[0].vector
    assert query is not None
    ask(reader, query)
    rng, items = random.Random(3), {item.item_id: item for item in ITEMS}
    for _ in range(8):
        # Another price, another vector, one deleted, one whose last picture is gone.
        patched, moved, deleted, fewer = rng.sample(
            sorted({i.product_id for i in items.values()}), 4
        )
        of = {
            one: [item for item in items.values() if item.product_id == one]
            for one in (patched, moved, deleted, fewer)
        }
        offer = brute.random_offer(rng)
        changed = [msgspec.structs.replace(i, offer=offer) for i in of[patched]]
        changed += assigned(
            [msgspec.structs.replace(i, vector=rng.choice(ITEMS).vector) for i in of[moved]], BANK
        )
        collection.write([*changed, tombstone(f"{deleted}#0", deleted, DIM, {})])
        gone = [i.item_id for i in (*of[deleted], *of[fewer][1:])]
        collection.delete([one for one in gone if one != f"{deleted}#0"])
        items = {key: i for key, i in items.items() if key not in gone}
        items |= {item.item_id: item for item in changed}
        wanted = brute.random_filter(rng)
        catalog = brute.Catalog(list(items.values()))
        check(ask(reader, query, wanted.text), catalog, catalog.passing(wanted), query)
        check(ask(reader, query), catalog, set(catalog.products), query)


def test_a_consistent_request_sees_what_was_just_written(
    mirrored: MilvusConfig, collection: Collection
) -> None:
    """Also where searches otherwise may miss the last seconds."""
    query = ITEMS[0].vector
    assert query is not None
    bounded = msgspec.structs.replace(mirrored, consistency="Bounded")
    with open_collection(bounded, BANK, collection.name) as opened:
        reader = Retriever(opened)
        reader.refresh()
        for number in range(1, 6):
            price = 1000.0 + number
            expected = {f"p{one}" for one in range(number)}
            changed = [
                msgspec.structs.replace(item, offer={"price": price})
                for item in ITEMS
                if item.product_id in expected
            ]
            collection.write(changed)
            wanted = parse_filter(f"price:={price}")
            found = reader.retrieve(
                [
                    Request(query, BLOCK, BLOCK),
                    Request(query, BLOCK, BLOCK, wanted, consistent=True),
                ]
            )
            assert {hit.item.product_id for hit in found[1].hits} == expected
            assert len(found[0].hits) == BLOCK


def test_what_changes_between_look_up_and_reading_is_looked_up_again(
    collection: Collection, reader: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = ITEMS[0].vector
    assert query is not None
    ask(reader, query, "price:>=0")
    cheap = [item for item in ITEMS if item.product_id == "p0"]
    nearest = CATALOG.nearest(PRICED, query, 2)[1][0]
    changes = [
        lambda: collection.delete([item.item_id for item in cheap]),
        lambda: collection.write(
            [
                msgspec.structs.replace(item, offer={})
                for item in ITEMS
                if item.product_id == nearest
            ]
        ),
    ]
    fetch = type(reader.collection).fetch

    def late(self: Collection, row_ids: list[str], vectors: bool = False) -> dict[str, Item]:
        if changes:
            changes.pop()()
        return fetch(self, row_ids, vectors)

    monkeypatch.setattr(type(reader.collection), "fetch", late)
    found = ask(reader, query, "price:>=0")
    check(found, CATALOG, PRICED - {"p0", nearest}, query)


@pytest.mark.parametrize("order", ["price:asc", "price:desc"])
def test_by_price(reader: Retriever, order: Order) -> None:
    query = ITEMS[5].vector
    assert query is not None
    passing = [item for item in ITEMS if item.offer.get("in_stock") is not False]
    best: dict[str, Item] = {}
    for item in sorted(passing, key=lambda i: -float(i.vector @ query)):  # type: ignore[operator]
        best.setdefault(item.product_id, item)

    def place(item: Item) -> tuple[float, str]:
        price = brute.price(item)
        return (
            np.inf if price is None else -price if order == "price:desc" else price
        ), item.product_id

    expected = [item.item_id for item in sorted(best.values(), key=place)]
    text = parse_filter("in_stock:!=false")
    for depth in (1, 7, 500):
        [found] = reader.retrieve([Request(query, depth, BLOCK, text, order=order)])
        assert [hit.item.item_id for hit in found.hits] == expected[:depth]


def test_pictures_by_themselves_and_products_left_out(reader: Retriever) -> None:
    query = ITEMS[7].vector
    assert query is not None
    passing = [item for item in ITEMS if item.product_id not in ("p1", "p2")]
    [found] = reader.retrieve(
        [Request(query, 20, BLOCK, by_product=False, left_out=("p1", "p2", "nobody"), vectors=True)]
    )
    expected = sorted(passing, key=lambda i: -float(i.vector @ query))[:20]  # type: ignore[operator]
    assert [hit.item.item_id for hit in found.hits] == [item.item_id for item in expected]
    assert found.hits[0].item.vector == pytest.approx(expected[0].vector, abs=1e-6)


def test_the_first_block_does_not_depend_on_the_depth(mirrored: MilvusConfig, name: str) -> None:
    items = assigned(brute.products(300, DIM, seed=5, pictures=1), BANK)  # so that it is probed
    query = items[0].vector
    assert query is not None
    with open_collection(mirrored, BANK, name) as collection:
        collection.write(items)
        reader = Retriever(collection)
        ids = [
            [hit.item.item_id for hit in ask(reader, query, depth=depth).hits]
            for depth in (BLOCK, 2 * BLOCK, 400)
        ]
        collection.drop_all()
    assert ids[0] == ids[1][:BLOCK] == ids[2][:BLOCK]
    assert ids[1] == ids[2][: 2 * BLOCK]
    assert sorted(ids[2]) == sorted(item.item_id for item in items)


def test_a_large_catalog_is_probed(
    mirrored: MilvusConfig, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a filter; then what comes after the first block is what is next of all."""
    monkeypatch.setattr(retrieve, "EXACT", 100)
    items = assigned(brute.products(600, DIM, seed=6, pictures=3), BANK)
    catalog = brute.Catalog(items)
    everything = set(catalog.products)
    with open_collection(mirrored, BANK, name) as collection:
        collection.write(items)
        reader = Retriever(collection)
        query = items[0].vector
        assert query is not None
        [found] = reader.retrieve([Request(query, 400, BLOCK)])
        assert len({hit.item.product_id for hit in found.hits}) == 400
        first = {hit.item.product_id for hit in found.hits[:BLOCK]}
        rest = catalog.nearest(everything - first, query, 400 - BLOCK)
        assert [hit.item.product_id for hit in found.hits[BLOCK:]] == [one for one, _ in rest]
        if reader.table.has_vectors:
            assert found.probed is not None
            assert 0 < found.probed.opened <= found.probed.of == len(BANK)
            assert found.probed.seen <= len(items)
        gone = found.hits[0].item.product_id
        collection.write(
            [tombstone(i.item_id, gone, DIM, {}) for i in items if i.product_id == gone]
        )
        [found] = reader.retrieve([Request(query, BLOCK, BLOCK, consistent=True)])
        assert gone not in {hit.item.product_id for hit in found.hits}
        check(ask(reader, query, "price:>=0"), catalog, _priced(catalog) - {gone}, query)
        collection.drop_all()


def _priced(catalog: brute.Catalog) -> set[str]:
    return {one.product_id for one in catalog.items if brute.price(one) is not None}


def test_before_anything_was_written(mirrored: MilvusConfig, name: str) -> None:
    query = ITEMS[0].vector
    assert query is not None
    with open_collection(mirrored, BANK, name) as collection:
        reader = Retriever(collection)
        check(ask(reader, query), CATALOG, set(), query)
        collection.write(ITEMS[:5])
        few = brute.Catalog(ITEMS[:5])
        check(ask(reader, query), few, set(few.products), query)
        collection.drop_all()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_random_filters_over_ten_thousand_items(
    mirrored: MilvusConfig, name: str
) -> None:
    """On a server fifty: there every call waits for a time tick."""
    filters = 1000 if mirrored.kind == "lite" else 50
    items = brute.products(5000, DIM, seed=9)
    bank = build(stack(items), "m", prototypes=100)
    items = assigned(items, bank)
    rng = random.Random(9)
    with open_collection(mirrored, bank, name) as collection:
        for start in range(0, len(items), 500):
            collection.write(items[start : start + 500])
        collection.flush()
        check_random(Retriever(collection), brute.Catalog(items), rng, filters)
        collection.drop_all()
