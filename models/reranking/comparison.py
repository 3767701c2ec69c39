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

        A candidate that is absent, NaN throughout, has score NaN.
        """
        filled, there = fill(features)
        standard = (filled - np.array(self.mean)) / np.array(self.scale)
        standard[np.isnan(standard)] = 0.0
        s = np.where(there, standard @ np.array(self.weights), np.nan)
        return s, self.null_bias + self.null_slope * np.nanmean(s, axis=1)


def fill(features: Floats) -> tuple[Doubles, NDArray[np.bool_]]:
    """Replace what is not known of a candidate by the mean of its chunk.

    Takes (..., size, features). Returns float64 evidence, NaN only where a whole chunk does not
    know a feature, and which candidates are there (..., size).
    """
    known = ~np.isnan(features)
    total = np.where(known, features, 0.0).sum(axis=-2, keepdims=True, dtype=np.float64)
    number = known.sum(axis=-2, keepdims=True)
    mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    there: NDArray[np.bool_] = known.sum(axis=-1) > 0
    return np.where(known, features, mean).astype(np.float64), there


def standardise(rows: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation per column over what is known; 0 and 1 where nothing is."""
    known = ~np.isnan(rows)
    number = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, rows, 0.0).sum(axis=0) / number
    spread = np.sqrt((np.where(known, rows - mean, 0.0) ** 2).sum(axis=0) / number)
    return mean, np.where(spread > 1e-9, spread, 1.0)
