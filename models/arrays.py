"""The array types of `models`, and scaling to length 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1."""


def unit(rows: Floats) -> Floats:
    """Scale the last axis to length 1; zeros stay zeros."""
    length = np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
    scaled: Floats = rows / np.maximum(length, np.float32(1e-12))
    return scaled
