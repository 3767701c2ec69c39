"""Ways to split candidates into chunks, and to merge compared chunks into one list.

A chunking gives candidate indices (chunks, size) with -1 for padding. A merge takes what was found
of the chunks, `Compared`, and gives all candidates, best first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Doubles
from models.reranking.chunks import ABSENT, CHUNK_SIZE, Chunks, split
from models.reranking.merge import merge, order

ANCHORS = 2
"""Candidates that all chunks share, in `anchored`."""
ROUNDS = 30
"""Of the fixed point that Bradley-Terry strengths are found by."""
STRIDE = 5
"""By how many places a window moves (RankGPT, Sun et al. 2023: half a window)."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Chunks and their scores.

    Attributes:
        chunks: (chunks, size).
        s: comparative scores, (chunks, size).
        r: P(level 0), (candidates,).
    """

    chunks: Chunks
    s: Doubles
    r: Doubles


Chunking = Callable[[int], Chunks]
Merge = Callable[[Compared], list[int]]


def contiguous(count: int) -> Chunks:
    """Neighbours in retrieval order are compared."""
    return split(count)


def round_robin(count: int) -> Chunks:
    """Chunks of equal strength: the first candidate to the first chunk, the second to the next."""
    chunks = split(count)
    dealt = np.full_like(chunks, ABSENT)
    for candidate in range(count):
        dealt[candidate % len(chunks), candidate // len(chunks)] = candidate
    return dealt


def anchored(count: int) -> Chunks:
    """Contiguous chunks, each with the first `ANCHORS` candidates as well."""
    if count <= CHUNK_SIZE:
        return split(count)
    rest = split(count - ANCHORS, CHUNK_SIZE - ANCHORS)
    shared = np.tile(np.arange(ANCHORS), (len(rest), 1))
    return np.concatenate([shared, np.where(rest == ABSENT, ABSENT, rest + ANCHORS)], axis=1)


def by_heads(compared: Compared) -> list[int]:
    """The paper's: the best head of the chunks by r, so that no chunk's order is broken."""
    return _once(merge(order(compared.chunks, compared.s), compared.r))


def by_absolute(compared: Compared) -> list[int]:
    """By r alone."""
    return _best_first(compared.r)


def additive(compared: Compared) -> list[int]:
    """By the sum of log r and how far s is from the mean of its chunk."""
    present = compared.chunks != ABSENT
    known = present & np.isfinite(compared.s)
    s = np.where(known, compared.s, 0.0)
    centred = s - s.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    total = np.log(np.maximum(compared.r, 1e-9))
    count = np.zeros_like(total)
    added = np.zeros_like(total)
    np.add.at(added, compared.chunks[present], centred[present])
    np.add.at(count, compared.chunks[present], 1)
    return _best_first(total + added / np.maximum(count, 1))


def bradley_terry(compared: Compared) -> list[int]:
    """By the strengths that best explain all comparisons (Bradley and Terry 1952).

    i beats j of its chunk with probability sigmoid(s_i - s_j). For chunks that overlap, or several
    partitions one after the other.
    """
    count = len(compared.r)
    wins = np.zeros((count, count))
    for row, scores in zip(compared.chunks, compared.s, strict=True):
        there = row != ABSENT
        ids, s = row[there], scores[there]
        wins[np.ix_(ids, ids)] += 1 / (1 + np.exp(-(s[:, None] - s[None, :])))
    np.fill_diagonal(wins, 0)
    games = wins + wins.T
    strength = np.ones(count)
    for _ in range(ROUNDS):
        expected = (games / (strength[:, None] + strength[None, :])).sum(axis=1)
        # One game each against a candidate of strength 1 and probability r keeps it finite.
        strength = (wins.sum(axis=1) + compared.r) / (expected + 1 / (strength + 1))
    return _best_first(strength)


def windows(
    count: int, compare: Callable[[NDArray[np.int64]], Doubles], stride: int = STRIDE
) -> list[int]:
    """RankGPT's: a window slides from the last candidates to the first, and sorts what it holds.

    Args:
        count: of candidates.
        compare: scores of candidates (n,) compared with each other; one pass after the other.
        stride: places that it moves by.
    """
    ranked = np.arange(count, dtype=np.int64)
    start = max(count - CHUNK_SIZE, 0)
    while True:
        held = ranked[start : start + CHUNK_SIZE]
        ranked[start : start + CHUNK_SIZE] = held[np.argsort(-compare(held), kind="stable")]
        if start == 0:
            return [int(one) for one in ranked]
        start = max(start - stride, 0)


def _best_first(scores: Doubles) -> list[int]:
    return [int(one) for one in np.argsort(-scores, kind="stable")]


def _once(candidates: list[int]) -> list[int]:
    return list(dict.fromkeys(candidates))
