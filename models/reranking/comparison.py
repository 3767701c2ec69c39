"""Comparative scores within a chunk, and the NULL score for "none of them".

s_i = w · (x_i − mean) / scale for the features x_i of candidate i, with w ≥ 0: a higher feature
never lowers the score. A missing feature is imputed with its mean over the chunk, and so neither
raises nor lowers the rank. s_NULL = a + b · (mean of the chunk's s): a candidate has to exceed the
others, not only a fixed score. Losses of Pailitao-VL (arXiv 2602.13704v2, §5.2 and §5.3); the
linear form is ours, in place of the paper's language model that reads the tokens.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays import Doubles, Floats


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Fitted comparison; `mean`, `scale` and `weights` have one value per feature."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    null_bias: float = 0.0
    null_slope: float = 1.0

    def scores(self, features: Floats) -> tuple[Doubles, Doubles]:
        """Comparative scores s (chunks, size) and s_NULL (chunks,) of (chunks, size, features).

        An absent candidate, all of whose features are NaN, has score NaN.
        """
        standard, present = self._standard(features)
        s = np.where(present, standard @ np.array(self.weights), np.nan)
        return s, self.null_bias + self.null_slope * np.nanmean(s, axis=1)

    def contributions(self, features: Floats) -> Doubles:
        """What each feature adds to s, (chunks, size, features): their sum is s."""
        found: Doubles = self._standard(features)[0] * np.array(self.weights)
        return found

    def _standard(self, features: Floats) -> tuple[Doubles, NDArray[np.bool_]]:
        imputed, present = impute(features)
        standard = (imputed - np.array(self.mean)) / np.array(self.scale)
        standard[np.isnan(standard)] = 0.0
        return standard, present


def impute(features: Floats) -> tuple[Doubles, NDArray[np.bool_]]:
    """Replace missing features by their mean over the chunk.

    Takes (..., size, features). Returns float64 features, NaN only where a feature is missing in
    the whole chunk, and which candidates are present (..., size).
    """
    known = ~np.isnan(features)
    total = np.where(known, features, 0.0).sum(axis=-2, keepdims=True, dtype=np.float64)
    number = known.sum(axis=-2, keepdims=True)
    mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    present: NDArray[np.bool_] = known.sum(axis=-1) > 0
    return np.where(known, features, mean).astype(np.float64), present


def standardise(rows: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation of each column, NaN left out; 0 and 1 for empty columns."""
    known = ~np.isnan(rows)
    number = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, rows, 0.0).sum(axis=0) / number
    deviation = np.sqrt((np.where(known, rows - mean, 0.0) ** 2).sum(axis=0) / number)
    return mean, np.where(deviation > 1e-9, deviation, 1.0)
