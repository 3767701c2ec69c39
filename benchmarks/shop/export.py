"""A shop's products as its first export has them, and as a clean one would.

The messy export is what shops' systems write: ids that are numbers or have blanks around them,
prices in texts, "yes" for true, columns of their own, markup, lists and nulls among attributes,
descriptions of 72 kB, rows that are there twice. One row in 70 is truly wrong, in a way of its own.
"""

from __future__ import annotations

import codecs
import html
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.catalog.folder import PRODUCTS

COLOURS = ("red", "orange", "yellow", "green", "blue", "violet", "pink", "brown", "black", "white")
PATTERNS = ("plain", "striped", "dotted", "checked")
KINDS = {
    "mug": ("Home", "Kitchen", "Mugs"),
    "plate": ("Home", "Kitchen", "Plates"),
    "cushion": ("Home", "Living", "Cushions"),
    "rug": ("Home", "Living", "Rugs"),
    "shirt": ("Clothes", "Tops", "Shirts"),
    "scarf": ("Clothes", "Accessories", "Scarves"),
}
MATERIALS = ("cotton", "wool", "stoneware", "glass", "linen", "steel")
LONG_DESCRIPTION = 72_000
BOM = codecs.BOM_UTF8

LOST_EVERY, LOST_AT = 50, 3
"""Of the products: the host has lost their main picture."""
ONLY_PICTURE_EVERY = 500
"""Of those, the ones whose row has nothing else, so that nothing is left of it."""
WRONG_EVERY, WRONG_AT = 70, 9
TWICE_EVERY, TWICE_AT = 200, 50


@dataclass(frozen=True)
class Product:
    """A product as the index should have it; `pictures` are paths at the host."""

    number: int
    title: str
    description: str
    category: tuple[str, ...]
    price: float
    in_stock: bool
    material: str
    pictures: tuple[str, ...]

    @property
    def product_id(self) -> str:
        """Digits, so that an export may have it as a number."""
        return str(100_000 + self.number)

    @property
    def words(self) -> str:
        """What a shopper types to find it."""
        return self.title.rpartition(" ")[0]

    @property
    def loses_picture(self) -> bool:
        """Whether the host has lost its main picture."""
        return self.number % LOST_EVERY == LOST_AT

    @property
    def is_only_picture(self) -> bool:
        """Whether its messy row names a lost picture and nothing else."""
        return self.number % ONLY_PICTURE_EVERY == LOST_AT

    @property
    def is_wrong(self) -> bool:
        """Whether its messy row is one that nobody can read with certainty."""
        return self.number % WRONG_EVERY == WRONG_AT


@dataclass(frozen=True)
class Row:
    """A line of an export; `product` is None where it must be refused."""

    text: bytes
    product: Product | None


def make_products(count: int, seed: int) -> list[Product]:
    """So many different products; one in 20 has a second picture."""
    rng = random.Random(seed)
    kinds = list(KINDS)
    products = []
    for number in range(count):
        kind, material = rng.choice(kinds), rng.choice(MATERIALS)
        title = f"{rng.choice(COLOURS)} {rng.choice(PATTERNS)} {kind} {number}".capitalize()
        views = "ab" if number % 20 == 4 else "a"
        products.append(
            Product(
                number=number,
                title=title,
                description=f"A {kind} of {material} & more, number {number}.",
                category=KINDS[kind],
                price=round(rng.uniform(1, 99), 2),
                in_stock=rng.random() < 0.8,
                material=material,
                pictures=tuple(f"/{number}{view}.jpg" for view in views),
            )
        )
    return products


def next_night(products: Sequence[Product]) -> list[Product]:
    """The same a day later: one in ten has another price, one in a hundred another title."""
    return [
        replace(one, title=one.title.replace(" ", " new ", 1))
        if renamed(one)
        else replace(one, price=round(one.price + 1, 2))
        if one.number % 10 == 5
        else one
        for one in products
    ]


def renamed(product: Product) -> bool:
    """Whether `next_night` gives it another title."""
    return product.number % 100 == 11


def photographed_again(product: Product) -> bool:
    """Whether the host has another main picture of it on the next night."""
    return product.number % 100 == 22


def clean_export(products: Sequence[Product], host: str) -> list[Row]:
    """Rows that need no coercion."""
    return [Row(_line(_strict(one, host)), one) for one in products]


def messy_export(products: Sequence[Product], host: str, seed: int) -> list[Row]:
    """The same products as real exports have them, and wrong rows among them.

    A row depends on its product and the seed alone.
    """
    return list(_messy_rows(products, host, seed))


def write_export(folder: Path, rows: Sequence[Row], *, byte_order_mark: bool = False) -> Path:
    """The rows as a catalog folder; row i is line i + 1."""
    folder.mkdir(exist_ok=True)
    text = b"\r\n".join(row.text for row in rows)
    (folder / PRODUCTS).write_bytes((BOM if byte_order_mark else b"") + text)
    return folder


def _strict(product: Product, host: str) -> dict[str, Any]:
    main, *others = [host + path for path in product.pictures]
    return {
        "product_id": product.product_id,
        "title": product.title,
        "description": product.description,
        "category": product.category,
        "image": main,
        "images": others,
        "price": product.price,
        "currency": "EUR",
        "in_stock": product.in_stock,
        "attributes": {"material": product.material},
    }


def _messy_rows(products: Sequence[Product], host: str, seed: int) -> Iterator[Row]:
    for product in products:
        rng = random.Random(f"{seed}/{product.number}")
        strict = _strict(product, host)
        if product.is_only_picture:
            yield Row(_line({name: strict[name] for name in ("product_id", "image")}), None)
        elif product.is_wrong:
            yield Row(_wrong(product.number // WRONG_EVERY, strict), None)
        else:
            row = Row(_line(_messy(product, strict, rng)), product)
            yield row
            if product.number % TWICE_EVERY == TWICE_AT:
                yield row


def _messy(product: Product, row: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The same product in other words."""
    price = f"{product.price:.2f}"
    comma = price.replace(".", ",")
    prices = (price, comma, f"{price} EUR", f"€{price}", f" {comma} ", product.price)
    stock = ("yes", "in stock", 1, "TRUE") if product.in_stock else ("no", "out of stock", 0, "F")
    title = html.escape(product.title)
    text = f"<p>{html.escape(product.description)}</p><ul><li>{product.material}</li></ul>"
    if product.number % 20 == 7:
        text = (text * (LONG_DESCRIPTION // len(text) + 1))[:LONG_DESCRIPTION]
    images = [row["image"], *row["images"]]
    messy = {
        **row,
        "product_id": rng.choice(
            (int(product.product_id), product.product_id, f"  {product.product_id} ")
        ),
        "title": rng.choice((title, f"<b>{title}</b>", f"{title}<br/>")),
        "description": rng.choice((text, text, None)) if product.number % 20 != 7 else text,
        "category": rng.choice((row["category"], " > ".join(row["category"]))),
        "price": rng.choice(prices),
        "currency": rng.choice(("EUR", "EUR", "")),
        "in_stock": rng.choice(stock),
        "attributes": {
            "material": product.material,
            "sizes": ["S", "M", None],
            "season": None,
            "box": {"w": 20, "h": 30},
        },
        "brand": rng.choice(("Nord", "Süd & Söhne", 77)),
        "internal_flags": [1, None, 3],
    }
    if rng.random() < 0.5:  # all pictures in one column
        del messy["images"]
        messy["image"] = [images[0], "", *images[1:]]
    else:
        messy["images"] = rng.choice((images[1:], [None, *images[1:]], images[1:] or None))
    return messy


def _wrong(kind: int, row: dict[str, Any]) -> bytes:
    """A line that may mean two things, or nothing."""
    wrong: tuple[dict[str, Any], ...] = (
        {"price": "1.299"},
        {"in_stock": "maybe"},
        {"product_id": None},
        {"price": "12.50 USD"},
        {"price": -5},
        {"price": float("nan")},
        {"product_id": "7" * 200},
        {"material": "paper"},  # `attributes` says something else
        {"category": {"main": "Home"}},
    )
    broken = (_line(row)[:-25], b'["no", "object"]', b"product_id;title;price")
    kind %= len(wrong) + len(broken)
    return _line({**row, **wrong[kind]}) if kind < len(wrong) else broken[kind - len(wrong)]


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()
