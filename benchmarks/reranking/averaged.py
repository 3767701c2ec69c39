"""Averages of rerankers over the same candidates: networks of several seeds, and the linear one.

Log odds over NULL are averaged, and the logarithms of P(level), before any calibration. What is on
different scales is divided by its spread among the first candidates of the lists, which needs no
labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.reranking.lists import DEPTH, Lists
from benchmarks.reranking.measures import Judged
from benchmarks.reranking.merging import by_candidate, compared, ordered
from benchmarks.reranking.policies import by_heads, contiguous
from benchmarks.reranking.train import Trained
from models.arrays import Doubles, Floats
from models.reranking.chunks import CHUNK_SIZE

LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Scores:
    """What a reranker says of lists, in retrieval order.

    Attributes:
        above: how far s is above the NULL of its chunk, (n, DEPTH); -inf in the padding.
        levels: P(level), (n, DEPTH, 4); 0 in the padding.
    """

    above: Floats
    levels: Floats

    @property
    def spread(self) -> float:
        """Mean deviation of `above` among the first candidates, which are compared together."""
        first = self.above[:, :CHUNK_SIZE]
        return float(np.nanmean(np.nanstd(np.where(np.isfinite(first), first, np.nan), axis=1)))

    def divided(self, by: float) -> Scores:
        """The same with `above` on another scale."""
        return Scores(self.above / np.float32(by), self.levels)

    @property
    def none(self) -> Doubles:
        """How much speaks for none of the candidates, (n,); without a unit."""
        found: Doubles = -self.above.max(axis=1).astype(np.float64)
        return found


def scores_of(trained: Trained, lists: Lists) -> Scores:
    """What a network says, by contiguous chunks."""
    chunks = contiguous(DEPTH)
    s, null, levels = trained.scores(lists, chunks)
    above = by_candidate((s - null[..., None])[..., None], chunks)[..., 0]
    return Scores(np.where(lists.present > 0, above, -np.inf), by_candidate(levels, chunks))


def average(scores: Sequence[Scores]) -> Scores:
    """The mean of several, each counting the same."""
    above: Floats = np.mean([one.above for one in scores], axis=0)
    levels = np.exp(np.mean([np.log(np.maximum(one.levels, LEAST)) for one in scores], axis=0))
    there = np.isfinite(above)[..., None]
    return Scores(above, np.where(there, levels / levels.sum(axis=2, keepdims=True), 0.0))


def judged_scores(scores: Scores, lists: Lists) -> Judged:
    """The lists in that order, merged by the paper's policy."""
    chunks = contiguous(DEPTH)
    ranked = [
        by_heads(row) for row in compared(chunks, scores.above[:, chunks], scores.levels[..., 0])
    ]
    return ordered(lists, ranked, scores.levels)
