"""Rows of a first export, for hypothesis: every field as real exports write it, right or wrong."""

import json
from typing import Any

from hypothesis import strategies as st

letters = st.characters(exclude_categories=["Cc", "Cs"])
words = st.text(letters, max_size=12)
ids = st.text(letters, min_size=1, max_size=128).filter(lambda one: one == one.strip() and one)
int64 = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = words | st.booleans() | int64 | floats
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
attributes = st.dictionaries(words, scalars, max_size=3)

strict_offers: dict[str, st.SearchStrategy[Any]] = {
    "price": st.none() | st.floats(0, 1e300) | st.integers(0, 10**9),
    "currency": st.sampled_from([None, "EUR", "SEK"]),
    "in_stock": st.none() | st.booleans(),
    "attributes": st.none() | attributes,
    "version": st.integers(0, 2**63 - 1),
}
plain = words.filter(lambda text: "<" not in text and "&" not in text)
strict_rows: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"product_id": ids},
    optional={
        "title": plain,
        "description": plain,
        "category": st.lists(plain.filter(bool), max_size=3),
        "image": st.none() | st.sampled_from(["a.png", "https://shop.example/a.png"]),
        "images": st.lists(st.sampled_from(["b.png", "c.png"]), max_size=2),
        **strict_offers,
    },
)
"""Rows that need no coercion."""

prices = st.sampled_from(
    [
        "12.50",
        "12,50",
        " 9 ",
        "1 299,00 EUR",
        "€12",
        "SEK 10",
        "$5",
        "1.299",
        "n/a",
        "",
        "-3",
        "1e3",
    ]
)
messy_rows: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"product_id": ids | int64 | floats | ids.map(lambda one: f" {one}\t") | json_values},
    optional={
        "title": words
        | int64
        | st.sampled_from(["<b>Oat</b> milk", "M&amp;M", "a<b"])
        | json_values,
        "description": st.none() | words | st.just("word " * 15_000) | json_values,
        "category": words | st.sampled_from(["Food > Milk", "", " > "]) | json_values,
        "image": st.sampled_from(["", "a.png", ["a.png", "", "b.png"], []]) | json_values,
        "images": st.sampled_from(["a.png", None, ["", None], ["b.png"]]) | json_values,
        "price": prices | floats | json_values,
        "currency": st.sampled_from([None, "", "EUR", "eur", "USD", 7]) | json_values,
        "in_stock": st.sampled_from(["yes", "NO", 1, 0, "in stock", "maybe", 7, ""]) | json_values,
        "attributes": st.dictionaries(words, json_values, max_size=3) | json_values,
        "version": st.sampled_from(["3", 3.0, "", None, "three", -1]) | json_values,
        "event_time": st.sampled_from(["1795645930000", None, 1.5]) | json_values,
        "brand": json_values,
        "tags": st.lists(scalars, max_size=3),
        "schema": st.sampled_from([1, 2, "1"]),
    },
)
"""Rows as exports are, and worse."""


def line_of(row: dict[str, Any]) -> bytes:
    """The row as a line of JSON."""
    return json.dumps(row).encode()
