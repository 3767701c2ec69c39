"""Fit the comparison (`models.reranking.comparison`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.arrays import Doubles, Floats
from models.evaluation.metrics import Level, Levels
from models.reranking.comparison import Comparison, fill, standardise


def fit_comparison(features: Floats, levels: Levels, *, shrinkage: float) -> Comparison:
    """Minimise the ranking loss of §5.2, then the NULL loss of §5.3, τ = 1.

    Args:
        evidence: (chunks, size, features), the first feature being the retrieval similarity.
        levels: (chunks, size); what it says of absent candidates is not read.
        shrinkage: strength ≥ 0 of the pull of all weights but the first to zero: where it is
            large, s orders as retrieval does.
    """
    filled, there = fill(features)
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
