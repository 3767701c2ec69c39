"""The table against brute force: filters, facets, and changes of every kind."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from index.item import Item
from index.search.facets import parse_facet, parse_facets
from index.search.filter import parse_filter
from index.search.table import ProductRows, Table, product_rows
from tests.index.search import brute_force as brute

FACETS = parse_facets(brute.FACETS)


def by_product(items: list[Item]) -> dict[str, ProductRows]:
    """The products of some items, as a collection hands them out."""
    found: dict[str, list[tuple[str, Item]]] = {}
    for item in items:
        found.setdefault(item.product_id, []).append((f"{item.item_id}-0", item))
    return {one: product_rows(one, rows) for one, rows in found.items()}


def check(table: Table, items: list[Item], rng: random.Random, filters: int) -> None:
    """Random filters find and count what brute force does."""
    catalog = brute.Catalog(items)
    for _ in range(filters):
        wanted = brute.random_filter(rng)
        mask = table.select(parse_filter(wanted.text))
        passing = catalog.passing(wanted)
        found = {table.product_id(slot) for slot in np.flatnonzero(mask).tolist()}
        assert found == passing, wanted.text
        rows = {table.row_id(row) for row in table.rows(mask)}
        assert rows == {f"{item.item_id}-0" for item in items if item.product_id in passing}
        for counted in table.count(FACETS, mask):
            got = {(brute.kind(one.value), one.value): one.count for one in counted.counts}
            expected = catalog.facet(counted.facet.text, passing)
            assert {key: n for key, n in got.items() if n} == expected, wanted.text


def test_a_thousand_random_filters() -> None:
    items = brute.products(200, dim=4)
    table = Table()
    table.apply(list(by_product(items).values()))
    check(table, items, random.Random(0), 1000)


def test_products_change_and_go_and_come_back() -> None:
    rng = random.Random(1)
    items = brute.products(60, dim=4)
    table = Table()
    table.apply(list(by_product(items).values()))
    for _ in range(40):
        ids = rng.sample([f"p{number}" for number in range(60)], 5)
        kept = [item for item in items if item.product_id not in ids]
        fresh = []
        for product_id in ids[:3]:
            offer = brute.random_offer(rng)
            made = [one for one in brute.products(60, 4) if one.product_id == product_id]
            fresh += [msgspec.structs.replace(one, offer=offer) for one in made]
        table.apply([*by_product(fresh).values(), *(ProductRows(one) for one in ids[3:])])
        items = kept + fresh
        check(table, items, rng, 10)
    assert len(table) == len({item.product_id for item in items})
    assert table.items == len(items)


def test_values_that_nobody_has_any_more_are_forgotten() -> None:
    table = Table()
    [product] = by_product(brute.products(1, dim=4, pictures=1)).values()
    for number in range(5000):
        offer = {"price": number, "attributes": {f"name {number % 7}": number}}
        table.apply([msgspec.structs.replace(product, offer=offer)])
    [price] = table.count([parse_facet("price")], table.select(None))
    assert [(one.value, one.count) for one in price.counts] == [(4999.0, 1)]
    assert len(table._fields["price"]._keys) < 3000
    assert list(table._attributes) == ["name 1"]


def test_many_attributes_that_few_products_have() -> None:
    items = [
        Item(item_id=f"p{n}#0", product_id=f"p{n}", prototype=0, offer={"attributes": {f"a{n}": n}})
        for n in range(3000)
    ]
    table = Table()
    table.apply(list(by_product(items).values()))
    mask = table.select(parse_filter("attributes.a7:=7 || attributes.a2999:>5"))
    assert [table.product_id(slot) for slot in np.flatnonzero(mask).tolist()] == ["p7", "p2999"]
    assert sum(len(column._codes) for column in table._attributes.values()) == 0


def test_a_facet_lists_the_values_with_the_most_products() -> None:
    items = [
        Item(item_id=f"p{n}#0", product_id=f"p{n}", prototype=0, offer={"price": n % 250})
        for n in range(300)
    ]
    table = Table()
    table.apply(list(by_product(items).values()))
    [counted] = table.count([parse_facet("price")], table.select(None))
    assert (len(counted.counts), counted.more) == (200, 50)
    assert {one.count for one in counted.counts[:50]} == {2}


@pytest.mark.parametrize("edges", ["0", "-5, 5", "1e-3, 0.5, 99.99"])
def test_ranges_hold_their_lower_edge(edges: str) -> None:
    items = brute.products(200, dim=4, pictures=1)
    table = Table()
    table.apply(list(by_product(items).values()))
    [counted] = table.count([parse_facet(f"price({edges})")], table.select(None))
    lows = [float(edge) for edge in edges.split(",")]
    prices = [price for item in items if (price := brute.price(item)) is not None]
    for one, low, high in zip(counted.counts, lows, [*lows[1:], np.inf], strict=True):
        assert one.count == sum(low <= price < high for price in prices)


class Counted:
    """Words that only count."""

    def __init__(self) -> None:
        self.texts: Counter[tuple[tuple[str, ...], str]] = Counter()

    def add(self, names: Sequence[str], description: str = "") -> None:
        self.texts[tuple(names), description] += 1

    def remove(self, names: Sequence[str], description: str = "") -> None:
        self.texts[tuple(names), description] -= 1


def test_words_follow_the_products() -> None:
    words = Counted()
    table = Table(words)
    payload = {"title": "Mug", "description": "d" * 900, "category": ["Kitchen", "Mugs"]}
    offer = {"price": 2.0, "attributes": {"colour": "red", "size": 3}}
    item = Item(
        item_id="a#0", product_id="a", prototype=0, vector=np.ones(1, np.float32),
        payload=payload, offer=offer,
    )  # fmt: skip
    names = ("Mug", "Kitchen", "Mugs", "red")

    def there() -> dict[tuple[tuple[str, ...], str], int]:
        return {one: number for one, number in words.texts.items() if number}

    table.apply([*by_product([item]).values()])
    table.apply(
        [*by_product([msgspec.structs.replace(item, offer={**offer, "price": 3})]).values()]
    )
    assert there() == {(names, "d" * 500): 1}
    changed = msgspec.structs.replace(item, payload={"title": "Cup"}, offer={})
    table.apply([*by_product([changed]).values()])
    assert there() == {(("Cup",), ""): 1}
    table.apply([ProductRows("a")])
    assert there() == {}
