"""Fit the level model (`models.reranking.calibration`)."""

from __future__ import annotations

import numpy as np

from models.arrays import Floats
from models.errors import RerankerError
from models.evaluation.metrics import Level, Levels
from models.reranking.calibration import LevelModel, with_margins
from models.reranking.comparison import standardise

ABSENT_LOGIT = -20.0
"""Of a level that never occurs: its probability is 2e-9."""


def fit_levels(features: Floats, levels: Levels, *, strength: float = 0.1) -> LevelModel:
    """Fit on features (lists, chunks, size, features) and levels (lists, chunks, size).

    Args:
        strength: inverse of the ℓ2 penalty, scikit-learn's C.

    Raises:
        RerankerError: only one level occurs.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  serving never needs it

    rows, present = with_margins(features)
    samples, labels = rows[present], levels[present]
    occurring = np.unique(labels)
    if len(occurring) < 2:
        raise RerankerError(
            "every candidate of the fitting split has the same level; give a split whose photos "
            "show products of the catalog. Without a fitted reranker, lists keep the order of "
            "retrieval and scores are estimated from similarities"
        )
    mean, scale = standardise(samples)
    standard = np.nan_to_num((samples - mean) / scale, nan=0.0)
    fitted = LogisticRegression(C=strength, max_iter=2000).fit(standard, labels)
    weights = np.zeros((len(Level), rows.shape[-1]))
    bias = np.full(len(Level), ABSENT_LOGIT)
    if len(occurring) == 2:  # scikit-learn then has one row: the logit of the second level
        weights[occurring[1]], bias[occurring] = fitted.coef_[0], (0.0, fitted.intercept_[0])
    else:
        weights[occurring], bias[occurring] = fitted.coef_, fitted.intercept_
    return LevelModel(
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(tuple(row) for row in weights.tolist()),
        bias=tuple(bias.tolist()),
    )
