"""Metrics of rankings: relevance levels, adaptive hit rates, classification.

Metrics and levels of Pailitao-VL (arXiv 2602.13704v2, §6). Levels come from category paths:
the same product 0, the same leaf 1, the same parent 2, anything else 3. G, the number of products
of level 0 or 1 for a query, bounds the depth of *both* hit rates:

    I-HR@K = Σ_{i ≤ min(K, G)} [level_i = 0] / min(K, G),   C-HR@K the same with level_i ∈ {0, 1}

so that C-HR reaches 1 on a small category, while I-HR@K has a ceiling below 1 wherever a query has
fewer than min(K, G) instances. Queries with G = 0 have no hit rate and leave the mean.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import MetricError

Levels = NDArray[np.int8]
Floats = NDArray[np.float64]


class Level(IntEnum):
    """Relevance of a document to a query."""

    INSTANCE = 0
    CONCEPT = 1
    FUNCTIONAL = 2
    IRRELEVANT = 3


class Labelled(Protocol):
    """What levels are computed from: products and photos both have it."""

    @property
    def product_id(self) -> str | None:
        """The product it is or shows."""

    @property
    def category(self) -> tuple[str, ...]:
        """Category path from the widest to the leaf."""


def category_level(one: tuple[str, ...], other: tuple[str, ...]) -> Level:
    """Level of two category paths when the products differ.

    The longer path decides what leaf and parent are: ("Fruit",) against ("Fruit", "Apple") is
    FUNCTIONAL. An empty path is unknown, hence IRRELEVANT.
    """
    depth = max(len(one), len(other))
    shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        shared += 1
    if shared == 0:
        return Level.IRRELEVANT
    return {depth: Level.CONCEPT, depth - 1: Level.FUNCTIONAL}.get(shared, Level.IRRELEVANT)


def relevance(queries: Sequence[Labelled], documents: Sequence[Labelled]) -> Levels:
    """Levels of every document for every query, int8 (queries, documents)."""
    query_paths, query_rows = _numbered([query.category for query in queries])
    paths, columns = _numbered([document.category for document in documents])
    kinds = np.array(
        [[category_level(one, other) for other in paths] for one in query_paths], dtype=np.int8
    ).reshape(len(query_paths), len(paths))
    levels: Levels = kinds[np.ix_(query_rows, columns)]
    columns_of: dict[str | None, list[int]] = defaultdict(list)
    for column, document in enumerate(documents):
        columns_of[document.product_id].append(column)
    for row, query in enumerate(queries):
        if query.product_id in columns_of and query.product_id is not None:
            levels[row, columns_of[query.product_id]] = Level.INSTANCE
    return levels


@dataclass(frozen=True)
class HitRate:
    """Adaptive hit rate as a value: `HitRate(Level.INSTANCE, 1)` is I-HR@1."""

    level: Level
    k: int

    def __str__(self) -> str:
        return f"{'I' if self.level is Level.INSTANCE else 'C'}-HR@{self.k}"

    @property
    def key(self) -> str:
        """Its name in JSON reports: `i_hr_1`."""
        return f"{'i' if self.level is Level.INSTANCE else 'c'}_hr_{self.k}"

    def per_query(self, ranked: Levels, relevant: NDArray[np.int64]) -> Floats:
        """Hit rate of each query in 0..1, NaN where nothing is relevant.

        Args:
            ranked: levels in rank order, (queries, depth); a short list counts as missing hits.
            relevant: G of each query, (queries,).

        Raises:
            MetricError: the shapes do not fit.
        """
        if ranked.ndim != 2 or relevant.shape != ranked.shape[:1]:
            raise MetricError(
                f"ranked levels {ranked.shape} and relevant counts {relevant.shape} do not fit: "
                "give (queries, depth) and (queries,)"
            )
        cut = np.minimum(self.k, relevant)
        within = np.arange(ranked.shape[1]) < cut[:, None]
        hits = ((ranked <= self.level) & within).sum(axis=1)
        return np.where(cut > 0, hits / np.maximum(cut, 1), np.nan)


HIT_RATES = tuple(
    HitRate(level, k) for level in (Level.INSTANCE, Level.CONCEPT) for k in (1, 5, 10)
)

TOLERANCE = 0.01
"""Differences of an average hit rate within it are noise, with some hundred queries."""


def relevant_counts(levels: Levels) -> NDArray[np.int64]:
    """G: how many documents of the whole catalog are of level 0 or 1, (queries,)."""
    counts: NDArray[np.int64] = (levels <= Level.CONCEPT).sum(axis=1)
    return counts


def hit_rates(ranked: Levels, relevant: NDArray[np.int64]) -> dict[str, float]:
    """The six hit rates by their JSON key, and their "average"; all in 0..1.

    Args and errors as `HitRate.per_query`.

    Raises:
        MetricError: also when no query has anything relevant.
    """
    if not relevant.any():
        raise MetricError("no query has a relevant document: hit rates are not defined")
    rates = {rate.key: float(np.nanmean(rate.per_query(ranked, relevant))) for rate in HIT_RATES}
    return {**rates, "average": float(np.mean(list(rates.values())))}


def score_rankings(
    queries: Sequence[Labelled],
    documents: Sequence[Labelled],
    rankings: Sequence[Sequence[str]],
) -> dict[str, float]:
    """Hit rates of rankings given as product ids, best first, one per query.

    An id that is not among the documents counts as IRRELEVANT, and so does a repeated id.

    Raises:
        MetricError: the counts differ, or no query has anything relevant.
    """
    if len(queries) != len(rankings):
        raise MetricError(f"{len(queries)} queries but {len(rankings)} rankings")
    levels = relevance(queries, documents)
    column = {document.product_id: at for at, document in enumerate(documents)}
    ranked = np.full((len(queries), max(rate.k for rate in HIT_RATES)), Level.IRRELEVANT, np.int8)
    for row, ranking in enumerate(rankings):
        seen: set[str] = set()
        for place, product_id in enumerate(ranking[: ranked.shape[1]]):
            if product_id in column and product_id not in seen:
                ranked[row, place] = levels[row, column[product_id]]
            seen.add(product_id)
    return hit_rates(ranked, relevant_counts(levels))


def best_possible(queries: Sequence[Labelled], documents: Sequence[Labelled]) -> dict[str, float]:
    """The hit rates of ideal rankings, the upper bound: I-HR@5 is below 1 for single instances.

    Raises:
        MetricError: no query has anything relevant.
    """
    levels = relevance(queries, documents)
    depth = max(rate.k for rate in HIT_RATES)
    return hit_rates(np.sort(levels, axis=1)[:, :depth], relevant_counts(levels))


@dataclass(frozen=True)
class Classification:
    """Precision, recall and F1, each in 0..1; 0 where undefined."""

    precision: float
    recall: float
    f1: float


def classification(predicted: NDArray[np.bool_], levels: Levels, level: Level) -> Classification:
    """How well `predicted` finds what is of `level` or better (same shapes).

    `Level.INSTANCE` is {0} against the rest, `Level.CONCEPT` {0, 1} against the rest.
    """
    actual = levels <= level
    hits = float((predicted & actual).sum())
    precision = hits / max(float(predicted.sum()), 1.0)
    recall = hits / max(float(actual.sum()), 1.0)
    total = precision + recall
    return Classification(precision, recall, 2 * precision * recall / total if total else 0.0)


def _numbered(
    paths: Sequence[tuple[str, ...]],
) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
    numbers: dict[tuple[str, ...], int] = {}
    rows = [numbers.setdefault(path, len(numbers)) for path in paths]
    return list(numbers), np.array(rows, dtype=np.int64)
