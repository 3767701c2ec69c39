"""Filters, facets and lists computed product by product in plain Python, and random ones of them.

Written without `index.search.table` and `index.search.columns`, which it checks. Filters are made
as trees of tuples, which know their text.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from index.item import Item
from index.vectors import stack

COLOURS = ("red", "Red", "blue", "green", "10", "true", "a && b", "tick`ed", "off white")
PATHS = (
    ("Shoes",),
    ("Shoes", "Boots"),
    ("Shoes", "Boots", "Winter boots"),
    ("Women", "Shoes"),
    ("Oat milk",),
    ("Women", "Bags"),
    (),
)
CURRENCIES = ("EUR", "USD", "eur")
SIZES: tuple[Any, ...] = (10, "10", 10.5, 42, True, False, "true", -1, "XL", 1e-3)


@dataclass(frozen=True)
class Wanted:
    """A filter as text, and what it means."""

    text: str
    passes: Callable[[Item], bool]


def products(count: int, dim: int, seed: int = 0, pictures: int = 3) -> list[Item]:
    """Items of products with random fields, up to so many pictures each; prototypes are 0."""
    rng, vectors = random.Random(seed), np.random.default_rng(seed)
    items = []
    for number in range(count):
        category, offer = _category(rng), random_offer(rng)
        for picture in range(rng.randint(1, pictures)):
            vector = vectors.standard_normal(dim).astype(np.float32)
            items.append(
                Item(
                    item_id=f"p{number}#{picture}",
                    product_id=f"p{number}",
                    prototype=0,
                    vector=vector / np.linalg.norm(vector),
                    payload={"title": f"No. {number}", "category": list(category)},
                    offer=offer,
                )
            )
    return items


def random_offer(rng: random.Random) -> dict[str, Any]:
    """An offer in which anything may be missing."""
    offer: dict[str, Any] = {}
    if rng.random() < 0.9:
        offer["price"] = rng.choice((0, 1, 9.99, 10, 10.0, 49.5, 50, round(rng.uniform(0, 100), 2)))
    if rng.random() < 0.8:
        offer["currency"] = rng.choice(CURRENCIES)
    if rng.random() < 0.8:
        offer["in_stock"] = rng.random() < 0.5
    if rng.random() < 0.9:
        attributes: dict[str, Any] = {}
        if rng.random() < 0.8:
            attributes["colour"] = rng.choice(COLOURS)
        if rng.random() < 0.8:
            attributes["size"] = rng.choice(SIZES)
        if rng.random() < 0.05:
            attributes[f"odd: {rng.randint(0, 3)}"] = rng.choice(SIZES)
        offer["attributes"] = attributes
    return offer


def _category(rng: random.Random) -> tuple[str, ...]:
    return rng.choice(PATHS)


def random_filter(rng: random.Random, depth: int = 0) -> Wanted:
    """A filter of any shape."""
    shape = rng.random()
    if depth < 3 and shape < 0.45:
        parts = [random_filter(rng, depth + 1) for _ in range(rng.randint(2, 3))]
        every = rng.random() < 0.5
        joined = (" && " if every else "||").join(f"({part.text})" for part in parts)
        test = all if every else any
        return Wanted(joined, lambda item: test(part.passes(item) for part in parts))
    return rng.choice(
        (_category_is, _price_is, _stock_is, _attribute_is, _attribute_number, _id_is)
    )(rng)


def _category_is(rng: random.Random) -> Wanted:
    values = rng.sample(
        ("Shoes", "Boots", "Women > Shoes", "Shoes > Boots", "Oat milk", "boots"), 2
    )

    def holds(item: Item) -> bool:
        path = item.payload["category"]
        nodes = {*path, *(" > ".join(path[: n + 1]) for n in range(len(path)))}
        return any(value in nodes for value in values)

    return _equal(rng, "category", [(value, value) for value in values], holds)


def _id_is(rng: random.Random) -> Wanted:
    ids = [f"p{rng.randint(0, 400)}" for _ in range(rng.randint(1, 20))]
    return _equal(rng, "product_id", [(one, one) for one in ids], lambda i: i.product_id in ids)


def _stock_is(rng: random.Random) -> Wanted:
    value = rng.random() < 0.5
    return _equal(
        rng, "in_stock", [(str(value).lower(), value)], lambda i: i.offer.get("in_stock") is value
    )


def _price_is(rng: random.Random) -> Wanted:
    if rng.random() < 0.3:
        return _equal(rng, "price", [("10", 10), ("9.99", 9.99)], lambda i: price(i) in (10, 9.99))
    return _ordered(rng, "price", price)


def _attribute_is(rng: random.Random) -> Wanted:
    if rng.random() < 0.5:
        colours = rng.sample(COLOURS, 2)
        texts = [(f"`{one.replace('`', '``')}`", one) for one in colours]
        return _equal(rng, "attributes.colour", texts, lambda i: _attribute(i, "colour") in colours)
    name = rng.choice(("size", "size", "size", "odd: 1", "nobody has it"))
    value = rng.choice(SIZES)
    text = f"`{value}`" if isinstance(value, str) else str(value).lower()

    def holds(item: Item) -> bool:
        found = _attribute(item, name)
        return kind(found) == kind(value) and found == value

    field = f"attributes.`{name}`" if ":" in name else f"attributes.{name}"
    return _equal(rng, field, [(text, value)], holds)


def _attribute_number(rng: random.Random) -> Wanted:
    def size(item: Item) -> float | None:
        found = _attribute(item, "size")
        return found if kind(found) == "number" else None

    return _ordered(rng, "attributes.size", size)


def _equal(
    rng: random.Random, field: str, values: list[tuple[str, Any]], holds: Callable[[Item], bool]
) -> Wanted:
    sign = rng.choice((":=", ":!="))
    listed = len(values) > 1 or rng.random() < 0.3
    text = f"[{', '.join(text for text, _ in values)}]" if listed else values[0][0]
    return Wanted(f"{field}{sign}{text}", lambda item: holds(item) == (sign == ":="))


def _ordered(rng: random.Random, field: str, value: Callable[[Item], float | None]) -> Wanted:
    low = rng.choice((0, 1, 9.99, 10, 10.5, 25, 42, 60))
    high = low + rng.choice((0, 0.5, 10, 40))
    tests: dict[str, Callable[[float], bool]] = {
        f":>{low}": lambda x: x > low,
        f":>={low}": lambda x: x >= low,
        f":< {low}": lambda x: x < low,
        f":<={low}": lambda x: x <= low,
        f":[{low}..{high}]": lambda x: low <= x <= high,
    }
    text = rng.choice(list(tests))

    def holds(item: Item) -> bool:
        found = value(item)
        return found is not None and tests[text](found)

    return Wanted(field + text, holds)


def price(item: Item) -> float | None:
    """An item's price."""
    found: float | None = item.offer.get("price")
    return found


def _attribute(item: Item, name: str) -> Any:
    return (item.offer.get("attributes") or {}).get(name)


def kind(value: Any) -> str:
    """The type of a value as filters see it."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


FACETS = (
    "category",
    "currency",
    "in_stock",
    "attributes.colour",
    "attributes.size",
    "price(0, 10, 50)",
)


def facet_values(name: str, item: Item) -> list[tuple[str, Any]]:
    """The values that an item counts for, with their types."""
    if name == "category":
        path = item.payload["category"]
        values: list[Any] = [" > ".join(path[: n + 1]) for n in range(len(path))]
    elif name.startswith("price("):
        found = price(item)
        values = []
        if found is not None and found >= 0:
            values = ["0..10" if found < 10 else "10..50" if found < 50 else "50.."]
    elif name.startswith("attributes."):
        values = [_attribute(item, name.removeprefix("attributes."))]
    else:
        values = [item.offer.get(name)]
    return [(kind(value), value) for value in values if value is not None]


class Catalog:
    """Items, and what brute force finds among them; all items of a product have its fields."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = list(items)
        self.products = {item.product_id: item for item in items}
        self._vectors = stack(self.items)
        self._values = {
            name: {one: facet_values(name, item) for one, item in self.products.items()}
            for name in FACETS
        }

    def passing(self, wanted: Wanted) -> set[str]:
        """The products that pass a filter."""
        return {one for one, item in self.products.items() if wanted.passes(item)}

    def nearest(self, passing: set[str], query: Any, depth: int) -> list[tuple[str, float]]:
        """The first products and their best cosines, best first."""
        found: dict[str, float] = {}
        cosines = self._vectors @ query
        for at in np.argsort(-cosines):
            product = self.items[at].product_id
            if product in passing:
                found.setdefault(product, float(cosines[at]))
                if len(found) == depth:
                    break
        return list(found.items())

    def facet(self, name: str, passing: set[str]) -> Counter[tuple[str, Any]]:
        """How many products have each value, with its type."""
        return Counter(key for one in passing for key in self._values[name][one])
