"""Absolute relevance: the calibrated probability of each level.

Where Pailitao-VL (arXiv 2602.13704v2, §5.4) has an MLP on hidden states with a 4-way softmax, this
is a multinomial logistic regression on a candidate's features and their margins over the best other
candidate. Features alone are poorly calibrated between queries: without margins the first candidate
of grocery queries had a mean probability of .23 and was right in .42 of them, with margins .43 and
.48 (clothing crops, not fitted on: .59/.64 and .75/.75). r = P(level 0) is a probability because
the model is fitted without class weights, on candidates as retrieval returns them. scikit-learn
fits it, numpy serves it.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays import Doubles, Floats
from models.reranking.comparison import impute


class LevelModel(msgspec.Struct, frozen=True, kw_only=True):
    """The fitted model: `weights` (4, 2 × features) and `bias` (4,), of standardised features."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]

    def probabilities(self, features: Floats) -> Doubles:
        """P(level) of one list's candidates, (chunks, size, 4), each row summing to 1."""
        rows, _ = with_margins(features)
        standard = np.nan_to_num((rows - np.array(self.mean)) / np.array(self.scale), nan=0.0)
        logits = standard @ np.array(self.weights).T + np.array(self.bias)
        exps = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities: Doubles = exps / exps.sum(axis=-1, keepdims=True)
        return probabilities


def with_margins(features: Floats) -> tuple[Doubles, NDArray[np.bool_]]:
    """Features beside their margins over the best other candidate of the list; who is present.

    (..., chunks, size, features) gives (..., chunks, size, 2 × features), NaN where not known, and
    (..., chunks, size).
    """
    imputed, present = impute(features)
    *lists, chunks, size, count = imputed.shape
    flat = np.where(np.isnan(imputed), -np.inf, imputed).reshape(*lists, chunks * size, count)
    # A list of one has no other candidate: with -inf in its place the margin is not known.
    padded = np.concatenate([flat, np.full((*lists, 1, count), -np.inf)], axis=-2)
    second, first = np.moveaxis(np.partition(padded, -2, axis=-2)[..., -2:, :], -2, 0)
    others = np.where(flat == first[..., None, :], second[..., None, :], first[..., None, :])
    margin = imputed - others.reshape(imputed.shape)
    margin = np.where(np.isfinite(margin), margin, np.nan)
    return np.concatenate([imputed, margin], axis=-1), present
