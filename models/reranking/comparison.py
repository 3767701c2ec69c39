"""Comparative scores inside a chunk, and NULL: "none of them".

s_i = w · (x_i − mean) / scale over the evidence of candidate i, with w ≥ 0: no evidence speaks
against its own candidate. What is not known of a candidate is taken to be as it is on average in
its chunk, and so neither helps nor hurts. s_NULL = a + b · (mean of the chunk's s): a candidate has
to stand out, not only to score. Losses of Pailitao-VL (arXiv 2602.13704v2, §5.2 and §5.3); the
linear form is ours, the training-free stand-in for a model that reads the tokens.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.juicer.juice import Floats
from models.evaluation.metrics import Level, Levels

Doubles = NDArray[np.float64]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Fitted comparison; `mean`, `scale` and `weights` have one value per feature."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    null_bias: float = 0.0
    null_slope: float = 1.0

    def scores(self, evidence: Floats) -> tuple[Doubles, Doubles]:
        """Comparative scores s (chunks, size) and s_NULL (chunks,) of (chunks, size, features).

        A candidate that is absent, NaN throughout, has score NaN.
        """
        filled, there = fill(evidence)
        standard = (filled - np.array(self.mean)) / np.array(self.scale)
        standard[np.isnan(standard)] = 0.0
        s = np.where(there, standard @ np.array(self.weights), np.nan)
        return s, self.null_bias + self.null_slope * np.nanmean(s, axis=1)


def fill(evidence: Floats) -> tuple[Doubles, NDArray[np.bool_]]:
    """Replace what is not known of a candidate by the mean of its chunk.

    Takes (..., size, features). Returns float64 evidence, NaN only where a whole chunk does not
    know a feature, and which candidates are there (..., size).
    """
    known = ~np.isnan(evidence)
    total = np.where(known, evidence, 0.0).sum(axis=-2, keepdims=True, dtype=np.float64)
    number = known.sum(axis=-2, keepdims=True)
    mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    there: NDArray[np.bool_] = known.sum(axis=-1) > 0
    return np.where(known, evidence, mean).astype(np.float64), there


def fit_comparison(evidence: Floats, levels: Levels, *, shrinkage: float) -> Comparison:
    """Minimise the ranking loss of §5.2, then the NULL loss of §5.3, τ = 1.

    Args:
        evidence: (chunks, size, features), the first feature being the retrieval similarity.
        levels: (chunks, size); what it says of absent candidates is not read.
        shrinkage: strength ≥ 0 of the pull of all weights but the first to zero: where it is
            large, s orders as retrieval does.
    """
    filled, there = fill(evidence)
    mean, scale = standardise(filled[there])
    standard = np.nan_to_num((filled - mean) / scale, nan=0.0)
    better, worse = _pairs(levels, there)
    gap = standard[better] - standard[worse]
    weight = (levels[worse] - levels[better]).astype(np.float64)
    weight /= max(weight.sum(), 1.0)
    pull = np.full(standard.shape[2], shrinkage)
    pull[0] = 1e-3

    def ranking_loss(w: Doubles) -> tuple[float, Doubles]:
        margin = gap @ w
        loss = weight @ np.logaddexp(0.0, -margin) + pull @ w**2
        return float(loss), -(weight * _sigmoid(-margin)) @ gap + 2 * pull * w

    start = np.full(standard.shape[2], 0.1)
    weights = minimize(ranking_loss, start, jac=True, bounds=[(0.0, None)] * len(start)).x
    s = np.where(there, standard @ weights, np.nan)
    bias, slope = _fit_null(s, levels, there)
    return Comparison(
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(weights.tolist()),
        null_bias=bias,
        null_slope=slope,
    )


def standardise(rows: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation per column over what is known; 0 and 1 where nothing is."""
    known = ~np.isnan(rows)
    number = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, rows, 0.0).sum(axis=0) / number
    spread = np.sqrt((np.where(known, rows - mean, 0.0) ** 2).sum(axis=0) / number)
    return mean, np.where(spread > 1e-9, spread, 1.0)


def _pairs(
    levels: Levels, there: NDArray[np.bool_]
) -> tuple[tuple[NDArray[np.intp], ...], tuple[NDArray[np.intp], ...]]:
    """Index pairs (chunk, place) of all (better, worse) candidates of one chunk."""
    apart = levels[:, None, :] < levels[:, :, None]
    chunk, worse, better = np.nonzero(apart & there[:, None, :] & there[:, :, None])
    return (chunk, better), (chunk, worse)


def _fit_null(s: Doubles, levels: Levels, there: NDArray[np.bool_]) -> tuple[float, float]:
    """Bias and slope of s_NULL: instances (S) above it, the rest (O) below it.

    Each side is averaged by itself and an empty one counts nothing (the paper is silent there).
    """
    center = np.nanmean(s, axis=1)
    chunk, place = np.nonzero(there)
    score, side = s[chunk, place], np.where(levels[chunk, place] == Level.INSTANCE, 1.0, -1.0)
    weight = np.where(side > 0, 1 / max((side > 0).sum(), 1), 1 / max((side < 0).sum(), 1))
    design = np.stack([np.ones(len(chunk)), center[chunk]], axis=1)

    def null_loss(line: Doubles) -> tuple[float, Doubles]:
        margin = side * (score - design @ line)
        loss = weight @ np.logaddexp(0.0, -margin) + 1e-3 * line @ line
        return float(loss), (weight * side * _sigmoid(-margin)) @ design + 2e-3 * line

    bias, slope = minimize(null_loss, np.array([0.0, 1.0]), jac=True).x
    return float(bias), float(slope)


def _sigmoid(x: Doubles) -> Doubles:
    result: Doubles = np.exp(-np.logaddexp(0.0, -x))
    return result
