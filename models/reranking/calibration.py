"""Absolute relevance: the probability of each level, calibrated.

Stands where Pailitao-VL (arXiv 2602.13704v2, §5.4) has an MLP on hidden states with a 4-way
softmax: multinomial logistic regression on a candidate's evidence and on how far that lies above or
below the best of the others. Absolute values alone promise too much of a query that resembles
everything; without the gaps the best candidate of grocery queries was promised .23 and right in .42
of them, with the gaps .43 and .48 (clothing crops, never fitted: .59/.64 and .75/.75). r = P(level
0) is a probability, because the model is fitted without class weights on
candidates as retrieval brings them. scikit-learn fits, numpy serves.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays import Doubles, Floats
from models.reranking.comparison import fill


class LevelModel(msgspec.Struct, frozen=True, kw_only=True):
    """Fitted model: `weights` (4, 2 × features), `bias` (4,), features standardised first."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]

    def probabilities(self, features: Floats) -> Doubles:
        """P(level) of one list's candidates, (chunks, size, 4), each row summing to 1."""
        rows, _ = rows_with_gaps(features)
        standard = np.nan_to_num((rows - np.array(self.mean)) / np.array(self.scale), nan=0.0)
        logits = standard @ np.array(self.weights).T + np.array(self.bias)
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities: Doubles = odds / odds.sum(axis=-1, keepdims=True)
        return probabilities


def rows_with_gaps(features: Floats) -> tuple[Doubles, NDArray[np.bool_]]:
    """Evidence beside its gap to the best other candidate of the list; and who is there.

    (..., chunks, size, features) gives (..., chunks, size, 2 × features), NaN where not known.
    """
    filled, there = fill(features)
    *lists, chunks, size, features = filled.shape
    flat = np.where(np.isnan(filled), -np.inf, filled).reshape(*lists, chunks * size, features)
    # A list of one has no other: -inf stands in, and the gap is not known.
    rivals = np.concatenate([flat, np.full((*lists, 1, features), -np.inf)], axis=-2)
    second, first = np.moveaxis(np.partition(rivals, -2, axis=-2)[..., -2:, :], -2, 0)
    others = np.where(flat == first[..., None, :], second[..., None, :], first[..., None, :])
    gap = filled - others.reshape(filled.shape)
    return np.concatenate([filled, np.where(np.isfinite(gap), gap, np.nan)], axis=-1), there
