"""Comparing by tokens: all patches, and fewer of them by several rules, on catalogs left out.

A query's first 50 items, by vectors, are ranked anew by tokens alone: the mean of the best third of
the largest cosines, from both sides, as the reranker does. Quality is the share of photos whose
product then comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.juicing.pictures import SeenPicture, similarities
from models.arrays import Floats, unit
from models.embedding.encoder import TOKENS
from models.evaluation.metrics import Level, Levels
from models.juicer.packed_matrix import PackedMatrix
from models.juicer.saliency import select_patches

RETRIEVED = 50
BEST_SHARE = 3
MERGE_STEPS = 8
MERGED, MERGED_WIDTH = 12, 48
"""Tokens by salient merging that take an eighth of the bytes of all patches."""

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class SeenCatalog:
    """Items and queries, and how relevant each item is to each query, (queries, items)."""

    name: str
    items: Sequence[SeenPicture]
    queries: Sequence[SeenPicture]
    levels: Levels


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens (k, d) of length 1, how much each counts, (k,), and in how many bits a value."""

    rows: Floats
    weights: Floats
    bits: int = 8

    @property
    def bytes(self) -> int:
        """What they take."""
        return self.rows.size * self.bits // 8


Rule = Callable[[SeenPicture, Rng], Tokens]


def all_patches(seen: SeenPicture, _: Rng) -> Tokens:
    """Every patch of the picture, each counting the same."""
    return _even(seen.tokens[_inside(seen)])


def all_by_saliency(seen: SeenPicture, _: Rng) -> Tokens:
    """Every patch, counting by its saliency."""
    inside = _inside(seen)
    return Tokens(seen.tokens[inside], seen.juiced.saliency[inside])


def most_salient(seen: SeenPicture, _: Rng) -> Tokens:
    """The 16 most salient patches."""
    return _even(seen.tokens[np.argsort(-seen.juiced.saliency, kind="stable")[:TOKENS]])


def random_patches(seen: SeenPicture, rng: Rng) -> Tokens:
    """16 patches at random."""
    inside = np.flatnonzero(_inside(seen))
    return _even(seen.tokens[rng.permutation(inside)[:TOKENS]])


def merged(seen: SeenPicture, _: Rng) -> Tokens:
    """All patches merged into 16 means (spherical k-means)."""
    return _even(merge(seen.tokens, _inside(seen).astype(np.float32), TOKENS))


def stored(seen: SeenPicture, rng: Rng) -> Tokens:
    """What is stored with an item: 16 salient patches that differ, and one of all others."""
    return replace(stored_in_bytes(seen, rng), bits=4)


def stored_in_bytes(seen: SeenPicture, _: Rng) -> Tokens:
    """The same in a byte a value."""
    salience = seen.juiced.saliency
    kept = select_patches(seen.tokens, salience, TOKENS)
    rest = salience.copy()
    rest[kept] = 0
    return _even(np.vstack([seen.tokens[kept], unit(rest @ seen.tokens)]))


def merged_by_saliency(seen: SeenPicture, _: Rng) -> Tokens:
    """Patches merged into 12 means, each patch weighing by its saliency; 48 values each."""
    return _even(merge(unit(seen.tokens[:, :MERGED_WIDTH]), seen.juiced.saliency, MERGED))


RULES: dict[str, Rule] = {
    "all": all_patches,
    "all by saliency": all_by_saliency,
    "salient": most_salient,
    "random": random_patches,
    "merged": merged,
    "stored": stored,
    "stored in bytes": stored_in_bytes,
    "merged by saliency": merged_by_saliency,
}


def merge(tokens: Floats, weights: Floats, count: int) -> Floats:
    """At most ``count`` weighted means (k, d) of length 1, by spherical k-means from far points."""
    shown = weights > 1e-4
    rows, weights = tokens[shown], weights[shown]
    chosen = [int(np.argmax(weights))]
    nearest = rows @ rows[chosen[0]]
    while len(chosen) < min(count, len(rows)):
        chosen.append(int(np.argmax(weights * (1 - nearest))))
        nearest = np.maximum(nearest, rows @ rows[chosen[-1]])
    means = rows[chosen]
    for _ in range(MERGE_STEPS):
        sums = np.zeros_like(means)
        np.add.at(sums, np.argmax(rows @ means.T, axis=1), weights[:, None] * rows)
        means = np.where(np.linalg.norm(sums, axis=1, keepdims=True) > 1e-9, unit(sums), means)
    return means


def measure_tokens(catalogs: Sequence[SeenCatalog]) -> dict[str, object]:
    """The keys of tokens, and a table of all rules and catalogs."""
    quality: dict[str, dict[str, float]] = {rule: {} for rule in RULES}
    share: dict[str, float] = {}
    for catalog in catalogs:
        for rule, make in RULES.items():
            rng = np.random.default_rng(0)
            items = [make(one, rng) for one in catalog.items]
            queries = [make(one, rng) for one in catalog.queries]
            quality[rule][catalog.name] = round(_first_right(catalog, items, queries), 4)
            share[rule] = items[0].bytes
    mean = {rule: float(np.mean(list(rates.values()))) for rule, rates in quality.items()}
    whole = max(mean["all"], mean["all by saliency"])
    all_bytes = catalogs[0].items[0].tokens.size
    return {
        "token_quality_kept": round(mean["stored"] / whole, 4),
        "token_bytes_share": round(share["stored"] / all_bytes, 4),
        "over_random_tokens": round(100 * (mean["stored"] - mean["random"]), 2),
        "over_merged_tokens": round(100 * (mean["stored"] - mean["merged"]), 2),
        "tokens": {
            rule: {"bytes": int(share[rule]), "mean": round(mean[rule], 4), **quality[rule]}
            for rule in RULES
        },
    }


def _first_right(catalog: SeenCatalog, items: Sequence[Tokens], queries: Sequence[Tokens]) -> float:
    by_vector = similarities(
        np.stack([one.vector for one in catalog.queries]),
        np.stack([one.vector for one in catalog.items]),
    )
    items, queries = list(map(_quantised, items)), list(map(_quantised, queries))
    hits = []
    for number, query in enumerate(queries):
        nearest = np.argsort(-by_vector[number], kind="stable")[:RETRIEVED]
        scores = [match(query, items[at]) for at in nearest]
        best = nearest[int(np.argmax(scores))]
        hits.append(catalog.levels[number, best] == Level.INSTANCE)
    return float(np.mean(hits))


def match(query: Tokens, item: Tokens) -> float:
    """The best thirds of the largest cosines, from both sides."""
    cosines = query.rows @ item.rows.T
    return _best_third(cosines.max(axis=1), query.weights) + _best_third(
        cosines.max(axis=0), item.weights
    )


def _best_third(best: Floats, weights: Floats) -> float:
    third = np.argsort(-best * (weights > 0))[: -(-len(best) // BEST_SHARE)]
    return float(best[third] @ weights[third] / max(float(weights[third].sum()), 1e-9))


def _quantised(tokens: Tokens) -> Tokens:
    pack = PackedMatrix.pack if tokens.bits == 8 else PackedMatrix.pack_directions
    return replace(tokens, rows=unit(pack(tokens.rows).unpack()))


def _even(rows: Floats) -> Tokens:
    return Tokens(rows, np.ones(len(rows), np.float32))


def _inside(seen: SeenPicture) -> np.ndarray:
    side = round(len(seen.tokens) ** 0.5)
    return seen.juiced.frame.cells((side, side))
