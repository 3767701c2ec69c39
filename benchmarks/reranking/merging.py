"""Lists as a network orders them: chunked, compared, merged in one way or another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.reranking.lists import DEPTH, Lists
from benchmarks.reranking.measures import Judged
from benchmarks.reranking.policies import (
    Chunking,
    Compared,
    Merge,
    additive,
    anchored,
    bradley_terry,
    by_absolute,
    by_heads,
    contiguous,
    round_robin,
    windows,
)
from benchmarks.reranking.train import Trained
from models.arrays import Doubles, Floats
from models.reranking.chunks import ABSENT, Chunks, split

LOWEST = -30.0
"""Comparative score of what is not there."""
POLICIES: dict[str, tuple[Chunking, Merge]] = {
    "round-robin": (round_robin, by_heads),
    "anchored": (anchored, by_heads),
    "additive": (contiguous, additive),
}


def judged_by(trained: Trained, lists: Lists, by: Literal["heads", "absolute"] = "heads") -> Judged:
    """Lists in a network's order.

    By heads of contiguous chunks, which are compared by what the network has learned: r, or how far
    s is above NULL, or s. A pointwise network orders by r, and so does "absolute".
    """
    variant = trained.variant
    chunks = contiguous(DEPTH)
    s, null, levels = trained.scores(lists, chunks)
    flat = by_candidate(levels, chunks)
    if variant.pointwise or by == "absolute":
        ranked = [by_absolute(row) for row in compared(chunks, s, flat[..., 0])]
        return ordered(lists, ranked, flat)
    if variant.absolute:
        heads = flat[..., 0]
    else:
        above = s - null[..., None] if variant.null else s
        heads = by_candidate(above[..., None], chunks)[..., 0]
    ranked = [by_heads(row) for row in compared(chunks, s, heads)]
    return ordered(lists, ranked, flat if variant.absolute else None)


def order_by(trained: Trained, lists: Lists) -> Iterator[tuple[str, Judged]]:
    """Lists in the order of each other policy, by its name."""
    plain = contiguous(DEPTH)
    _, _, levels = trained.scores(lists, plain)
    flat = by_candidate(levels, plain)
    for name, (chunking, merge) in POLICIES.items():
        chunks = chunking(DEPTH)
        scores, _, of_levels = trained.scores(lists, chunks)
        found = by_candidate(of_levels, chunks)
        ranked = [merge(row) for row in compared(chunks, scores, found[..., 0])]
        yield name, ordered(lists, ranked, found)
    twice = np.concatenate([plain, _shuffled(DEPTH)])
    scores, _, _ = trained.scores(lists, twice)
    finite = np.where(np.isfinite(scores), scores, LOWEST)
    ranked = [bradley_terry(row) for row in compared(twice, finite, flat[..., 0])]
    yield "Bradley-Terry", ordered(lists, ranked, flat)
    ranked = [_by_windows(trained, lists, at) for at in range(len(lists))]
    yield "windows", ordered(lists, ranked, flat)


def none_of(trained: Trained, lists: Lists) -> Doubles:
    """The probability that it is none, (n,): how far NULL is above the best of all candidates.

    A network without NULL says it by the probabilities of its candidates, taken as independent.
    """
    s, null, levels = trained.scores(lists, contiguous(DEPTH))
    if trained.variant.null and not trained.variant.pointwise:
        above = (s.max(axis=2) - null).max(axis=1).astype(np.float64)
        none: Doubles = 1 / (1 + np.exp(above))
        return none
    found: Doubles = np.prod(1 - levels[..., 0].astype(np.float64), axis=(1, 2))
    return found


def _by_windows(trained: Trained, lists: Lists, at: int) -> list[int]:
    one = Lists(*(getattr(lists, name)[at : at + 1] for name in Lists.__dataclass_fields__))
    count = int(one.present.sum())

    def compare(held: NDArray[np.int64]) -> Doubles:
        s, _, _ = trained.scores(one, held[None])
        scores: Doubles = s[0, 0].astype(np.float64)
        return scores

    ranked = windows(count, compare)
    return [*ranked, *range(count, DEPTH)]


def _shuffled(count: int) -> Chunks:
    order = np.random.default_rng(0).permutation(count)
    chunks = split(count)
    return np.where(chunks == ABSENT, ABSENT, order[chunks])


def compared(chunks: Chunks, s: Floats, r: Floats) -> list[Compared]:
    """What was found of each list: s (n, chunks, size) and r (n, DEPTH)."""
    return [
        Compared(chunks, row.astype(np.float64), absolute.astype(np.float64))
        for row, absolute in zip(s, r, strict=True)
    ]


def by_candidate(scores: Floats, chunks: Chunks) -> Floats:
    """(n, chunks, size, k) as (n, DEPTH, k); a candidate of several chunks has their mean."""
    present = chunks != ABSENT
    total = np.zeros((len(scores), DEPTH, scores.shape[-1]))
    count = np.zeros(DEPTH)
    np.add.at(count, chunks[present], 1)
    for chunk, row in zip(chunks, np.moveaxis(scores, 1, 0), strict=True):
        there = chunk != ABSENT
        total[:, chunk[there]] += row[:, there]
    found: Floats = (total / np.maximum(count, 1)[None, :, None]).astype(np.float32)
    return found


def ordered(lists: Lists, ranked: list[list[int]], levels_of: Floats | None) -> Judged:
    """Lists with their candidates in the order ``ranked``, levels_of (n, DEPTH, 4) too."""
    # The padding comes last, whatever a policy makes of it.
    order = np.array(ranked)
    there = np.take_along_axis(lists.present, order, axis=1)
    order = np.take_along_axis(order, np.argsort(-there, axis=1, kind="stable"), axis=1)
    levels = np.take_along_axis(lists.levels, order, axis=1)
    if levels_of is not None:
        levels_of = np.take_along_axis(levels_of, order[..., None], axis=1)
    return Judged(levels, lists.relevant, lists.products, levels_of)
