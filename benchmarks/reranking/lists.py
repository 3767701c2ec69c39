"""Lists of candidates: those that rerankers learn from, and those that they are judged by.

What is learned from varies the catalog: some of its items are left out by chance, and of some
queries the product is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.reranking.inputs import WIDTH, inputs
from benchmarks.reranking.match_tables import Rows, Tables
from models.arrays import Floats
from models.evaluation.metrics import Levels, relevant_counts

DEPTH = 50
"""N: candidates of a query."""
TOGETHER = 16
"""Queries of one catalog, asked in one way, that lists are made of at once."""
MODALITIES, SHARES = ("picture", "text", "both"), (0.6, 0.2, 0.2)
"""How queries are asked, and how many of them."""
REMOVED = 0.15
"""Of the queries, whose product was taken away."""
FEWEST = 0.3
"""Of the items that are left of a catalog."""


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists in retrieval order, padded to `DEPTH`.

    Attributes:
        candidates: (n, DEPTH, WIDTH), half precision, NaN where nothing is known.
        context: (n, CONTEXT_WIDTH).
        levels: (n, DEPTH); 3 in the padding.
        present: 1 where there is a candidate, (n, DEPTH).
        relevant: G of each query, (n,).
        products: that the queries show, (n,).
        nearest: the items that are candidates, (n, DEPTH); -1 in the padding.
    """

    candidates: NDArray[np.float16]
    context: Floats
    levels: Levels
    present: Floats
    relevant: NDArray[np.int64]
    products: Rows
    nearest: Rows

    def __len__(self) -> int:
        return len(self.levels)


def joined(lists: list[Lists]) -> Lists:
    """Several lists as one."""
    fields = Lists.__dataclass_fields__
    return Lists(*(np.concatenate([getattr(one, name) for one in lists]) for name in fields))


def judged_lists(
    tables: Tables, queries: Rows, modality: str = "picture", *, removed: bool = False
) -> Lists:
    """The lists of queries to the whole catalog; with ``removed``, without their products."""
    allowed = tables.levels[queries] != 0 if removed else None
    items = tables.pair.shape[1]
    depth = min(DEPTH, items if allowed is None else int(allowed.sum(axis=1).min()))
    return _lists(tables, queries, modality, depth, allowed)


def training_lists(tables: Tables, queries: Rows, count: int, seed: int) -> Lists:
    """About ``count`` lists of queries drawn with replacement, each to a part of the catalog."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(max(1, count // TOGETHER)):
        modality = str(rng.choice(MODALITIES, p=SHARES))
        asked = rng.choice(queries, TOGETHER)
        kept = np.exp(rng.uniform(np.log(FEWEST), 0)) if rng.random() < 0.7 else 1.0
        allowed = rng.random((TOGETHER, tables.pair.shape[1])) < kept
        allowed[np.arange(TOGETHER), tables.products[asked]] = True
        taken = rng.random(TOGETHER) < REMOVED
        allowed &= ~((tables.levels[asked] == 0) & taken[:, None])
        depth = min(DEPTH, int(allowed.sum(axis=1).min()))
        found.append(_lists(tables, asked, modality, depth, allowed))
    return joined(found)


def _lists(
    tables: Tables,
    queries: Rows,
    modality: str,
    depth: int,
    allowed: NDArray[np.bool_] | None,
) -> Lists:
    features, levels, items = tables.lists(queries, modality, depth, allowed)
    shares = np.broadcast_to(tables.shares, (len(queries), 3))
    candidates, context = inputs(features, shares)
    count = len(queries)
    padded = np.full((count, DEPTH, WIDTH), np.nan, np.float16)
    padded[:, :depth] = candidates
    all_levels = np.full((count, DEPTH), 3, np.int8)
    all_levels[:, :depth] = levels
    present = np.zeros((count, DEPTH), np.float32)
    present[:, :depth] = 1
    nearest = np.full((count, DEPTH), -1, np.intp)
    nearest[:, :depth] = items
    return Lists(
        padded,
        context,
        all_levels,
        present,
        relevant_counts(tables.levels[queries]),
        tables.products[queries],
        nearest,
    )
