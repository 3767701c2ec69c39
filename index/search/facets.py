"""Facets: how many products have each value of a field, among all that pass a filter.

Written as a field (`category`, `attributes.colour`), for numbers with edges: `price(0, 10, 50)`
counts what is at least 0 and below 10, at least 10 and below 50, and at least 50. A category counts
for every node on its path, each under the path from the root (`Shoes > Boots`).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from index.errors import FilterError
from index.search.columns import CategoryColumn, Column, Mask
from index.search.filter import Field, Parser, Value

MAX_FACETS = 20
MAX_EDGES = 50
MAX_COUNTS = 200
"""Values of a facet that are listed, those with the most products."""


@dataclass(frozen=True)
class Facet:
    """What to count: the values of a field, or its numbers between edges.

    `text` is how it was asked for.
    """

    text: str
    field: Field
    edges: tuple[float, ...] = ()


@dataclass(frozen=True)
class Count:
    """A value and how many products have it; of a range the `value` is "LOW..HIGH"."""

    value: Value
    count: int


@dataclass(frozen=True)
class Counted:
    """A facet's values, most products first, ranges in their order.

    `more` is how many values are not listed.
    """

    facet: Facet
    counts: tuple[Count, ...]
    more: int = 0


def parse_facet(text: str) -> Facet:
    """Read one facet.

    Raises:
        FilterError: it cannot be read; the error has the position.
    """
    parser = Parser(text)
    field = parser.field()
    if field == Field("product_id"):
        parser.fail("every product has its own `product_id`: it cannot be counted", 0)
    edges: list[float] = []
    if parser.take("("):
        if field.name in ("category", "currency", "in_stock") and not field.attribute:
            parser.fail(f"`{field}` has no numbers to count between edges")
        edges.append(parser.number())
        while parser.take(","):
            edge = parser.number()
            if edge <= edges[-1]:
                parser.fail("edges go up")
            edges.append(edge)
        if not parser.take(")"):
            parser.fail("expected `,` or `)`")
        if len(edges) > MAX_EDGES:
            parser.fail(f"at most {MAX_EDGES} edges are allowed")
    parser.end()
    return Facet(text, field, tuple(edges))


def parse_facets(texts: tuple[str, ...]) -> tuple[Facet, ...]:
    """Read the facets of a query.

    Raises:
        FilterError: one cannot be read, or there are too many.
    """
    if len(texts) > MAX_FACETS:
        raise FilterError(f"{len(texts)} facets were asked for; at most {MAX_FACETS} are allowed")
    return tuple(map(parse_facet, texts))


def count(facet: Facet, column: Column, mask: Mask) -> Counted:
    """Count a facet over the products in a mask (slots,)."""
    if facet.edges:
        return Counted(facet, tuple(_ranges(facet.edges, column, mask)))
    if isinstance(column, CategoryColumn):
        return _most(facet, [Count(node, n) for node, n in column.subtrees(mask).items()])
    counts = column.counts(mask)
    return _most(
        facet, [Count(value, n) for (_, value), n in counts if not isinstance(value, tuple)]
    )


def _most(facet: Facet, counts: list[Count]) -> Counted:
    counts.sort(key=lambda one: (-one.count, str(one.value), str(type(one.value))))
    return Counted(facet, tuple(counts[:MAX_COUNTS]), max(0, len(counts) - MAX_COUNTS))


def _ranges(edges: tuple[float, ...], column: Column, mask: Mask) -> list[Count]:
    numbers = column.numbers(len(mask))[mask]
    ends = (*edges[1:], np.inf)
    at_least = [int((numbers >= edge).sum()) for edge in (*edges, np.inf)]
    return [
        Count(f"{low:g}..{'' if high == np.inf else f'{high:g}'}", above - beyond)
        for low, high, (above, beyond) in zip(
            edges, ends, itertools.pairwise(at_least), strict=True
        )
    ]
