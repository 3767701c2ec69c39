"""Feeds in which several rows are one product: Shopify's handles, WooCommerce's variations.

The rows of a product stand together. They become one row with the columns of the first, and with
some that are made of all: `Images`, `Price`, `Available`, `Attributes`, `Category`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from typing import Any

from models.catalog.folder import RawRow
from models.catalog.price_text import parse_price
from models.errors import CatalogError

OPTIONS = ("Option1", "Option2", "Option3")
_COMMA = re.compile(r"(?<!\\),")
_ATTRIBUTE = re.compile(r"Attribute (\d+) name")


def shopify_rows(rows: Iterable[RawRow]) -> Iterator[RawRow]:
    """One row a handle; those with a problem as they are."""
    for handle, group in groupby(rows, key=lambda row: row.fields.get("Handle")):
        several = list(group)
        if handle is None or several[0].problem:
            yield from several
            continue
        found = [row.fields for row in several]
        yield RawRow(several[0].line, {**found[0], **_shopify_product(found)})


def woocommerce_rows(rows: Iterable[RawRow]) -> Iterator[RawRow]:
    """One row a product: variations go into the product before them."""
    held: list[RawRow] = []
    for row in rows:
        if held and not row.problem and _is_variation(row) and not held[0].problem:
            held.append(row)
            continue
        if held:
            yield _woocommerce_product(held)
        held = [row]
    if held:
        yield _woocommerce_product(held)


def _shopify_product(rows: list[dict[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    pictures = [row.get(name) for row in rows for name in ("Image Src", "Variant Image")]
    attributes = {name.lower(): first.get(name) for name in ("Vendor", "Type", "Tags")}
    for option in OPTIONS:
        name = first.get(f"{option} Name")
        values = [value for row in rows if (value := row.get(f"{option} Value"))]
        if name and name != "Title":  # what a product without options has
            attributes[name] = ", ".join(dict.fromkeys(values))
    variants = [row for row in rows if row.get("Variant Price") or row.get("Variant SKU")]
    return {
        "Images": list(dict.fromkeys(one for one in pictures if one)),
        "Price": lowest_price([row.get("Variant Price") for row in rows]),
        "Available": any(map(_shopify_available, variants)) if variants else None,
        "Attributes": {**attributes, "sku": first.get("Variant SKU")},
    }


def _shopify_available(variant: dict[str, Any]) -> bool:
    quantity = variant.get("Variant Inventory Qty")
    if not variant.get("Variant Inventory Tracker") or quantity is None:
        return True
    if variant.get("Variant Inventory Policy") == "continue":
        return True
    with suppress(ValueError):
        return float(quantity) > 0
    return True


def _woocommerce_product(rows: list[RawRow]) -> RawRow:
    if rows[0].problem:
        return rows[0]
    found: list[dict[str, Any]] = [row.fields for row in rows]
    first = found[0]
    attributes = {"sku": first.get("SKU"), "tags": first.get("Tags"), "brand": first.get("Brands")}
    for column, name in first.items():
        if name and (number := _ATTRIBUTE.fullmatch(column)):
            attributes[name] = first.get(f"Attribute {number[1]} value(s)")
    paths = [[part.strip() for part in one.split(">")] for one in _list(first.get("Categories"))]
    prices = [first.get("Regular price")]
    if not prices[0]:
        prices = [row.get("Regular price") for row in found[1:]]
    pictures = [one for row in found for one in _list(row.get("Images"))]
    made = {
        "Category": max(paths, key=len, default=[]),
        "Images": list(dict.fromkeys(pictures)),
        "Attributes": attributes,
        "Regular price": lowest_price(prices),
    }
    return RawRow(rows[0].line, {**first, **made})


def lowest_price(prices: Iterable[Any]) -> Any:
    """The lowest of several texts; the first that is no price, so that it is named."""
    texts = [one for one in prices if one]
    try:
        return min(texts, key=lambda text: parse_price(text, None).price, default=None)
    except CatalogError:
        return next((one for one in texts if not _is_price(one)), None)


def _is_price(text: str) -> bool:
    try:
        parse_price(text, None)
    except CatalogError:
        return False
    return True


def _is_variation(row: RawRow) -> bool:
    return str(row.fields.get("Type") or "").startswith("variation")


def _list(text: Any) -> list[str]:
    """The parts of a text with commas; a comma behind a backslash is none."""
    parts = [part.replace("\\,", ",").strip() for part in _COMMA.split(text or "")]
    return [part for part in parts if part]
