"""Fit the level model (`models.reranking.calibration`)."""

from __future__ import annotations

import numpy as np

from models.arrays import Floats
from models.errors import RerankerError
from models.evaluation.metrics import Level, Levels
from models.reranking.calibration import LevelModel, rows_with_gaps
from models.reranking.comparison import standardise

UNSEEN = -20.0
"""Logit of a level that never occurred: a probability of zero, to any precision that matters."""


def fit_levels(features: Floats, levels: Levels, *, strength: float = 0.1) -> LevelModel:
    """Fit on evidence (lists, chunks, size, features) and levels (lists, chunks, size).

    Args:
        strength: inverse of the ℓ2 penalty, scikit-learn's C.

    Raises:
        RerankerError: only one level occurs, so that there is nothing to tell apart.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  serving never needs it

    rows, there = rows_with_gaps(features)
    known, labels = rows[there], levels[there]
    occurring = np.unique(labels)
    if len(occurring) < 2:
        raise RerankerError(
            "every candidate of the fitting split has the same level; give a split whose photos "
            "show products of the catalog"
        )
    mean, scale = standardise(known)
    standard = np.nan_to_num((known - mean) / scale, nan=0.0)
    fitted = LogisticRegression(C=strength, max_iter=2000).fit(standard, labels)
    weights = np.zeros((len(Level), rows.shape[-1]))
    bias = np.full(len(Level), UNSEEN)
    if len(occurring) == 2:  # scikit-learn then keeps one row: the logit of the second level
        weights[occurring[1]], bias[occurring] = fitted.coef_[0], (0.0, fitted.intercept_[0])
    else:
        weights[occurring], bias[occurring] = fitted.coef_, fitted.intercept_
    return LevelModel(
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(tuple(row) for row in weights.tolist()),
        bias=tuple(bias.tolist()),
    )
