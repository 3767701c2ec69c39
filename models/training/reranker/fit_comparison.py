"""Fit the comparison (`models.reranking.comparison`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.arrays import Doubles, Floats
from models.evaluation.metrics import Level, Levels
from models.reranking.comparison import Comparison, impute, standardise


def fit_comparison(features: Floats, levels: Levels, *, shrinkage: float) -> Comparison:
    """Minimise the ranking loss of §5.2, then the NULL loss of §5.3, τ = 1.

    Args:
        features: (chunks, size, features), the first being the similarity of retrieval.
        levels: (chunks, size); those of absent candidates are ignored.
        shrinkage: ℓ2 penalty ≥ 0 of all weights but the first: where it is large, s orders as
            retrieval does.
    """
    imputed, present = impute(features)
    mean, scale = standardise(imputed[present])
    standard = np.nan_to_num((imputed - mean) / scale, nan=0.0)
    better, worse = _pairs(levels, present)
    difference = standard[better] - standard[worse]
    weight = (levels[worse] - levels[better]).astype(np.float64)
    weight /= max(weight.sum(), 1.0)
    penalty = np.full(standard.shape[2], shrinkage)
    penalty[0] = 1e-3

    def ranking_loss(w: Doubles) -> tuple[float, Doubles]:
        margin = difference @ w
        loss = weight @ np.logaddexp(0.0, -margin) + penalty @ w**2
        gradient = -(weight * _sigmoid(-margin)) @ difference + 2 * penalty * w
        return float(loss), gradient

    start = np.full(standard.shape[2], 0.1)
    weights = minimize(ranking_loss, start, jac=True, bounds=[(0.0, None)] * len(start)).x
    s = np.where(present, standard @ weights, np.nan)
    bias, slope = _fit_null(s, levels, present)
    return Comparison(
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(weights.tolist()),
        null_bias=bias,
        null_slope=slope,
    )


def _pairs(
    levels: Levels, present: NDArray[np.bool_]
) -> tuple[tuple[NDArray[np.intp], ...], tuple[NDArray[np.intp], ...]]:
    """Indices (chunk, position) of all pairs of a better and a worse candidate of one chunk."""
    differ = levels[:, None, :] < levels[:, :, None]
    chunk, worse, better = np.nonzero(differ & present[:, None, :] & present[:, :, None])
    return (chunk, better), (chunk, worse)


def _fit_null(s: Doubles, levels: Levels, present: NDArray[np.bool_]) -> tuple[float, float]:
    """Bias and slope of s_NULL: instances (S) above it, the rest (O) below it.

    Each side is averaged by itself, an empty one counts 0 (the paper leaves that open).
    """
    center = np.nanmean(s, axis=1)
    chunk, position = np.nonzero(present)
    score = s[chunk, position]
    side = np.where(levels[chunk, position] == Level.INSTANCE, 1.0, -1.0)
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
