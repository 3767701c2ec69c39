"""The centroid of each product's identities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit

MAX_IDENTITIES = 4096
"""Centroids kept at most, taken at even steps."""


def class_centroids(identities: Floats, ids: NDArray[np.int64]) -> Floats:
    """The mean direction of each identity, unit rows (u, d), from those of its pictures.

    Args:
        identities: of pictures, (n, d), of length 1.
        ids: each picture's identity, (n,), 0..U − 1.
    """
    sums = np.zeros((int(ids.max()) + 1, identities.shape[1]), np.float32)
    np.add.at(sums, ids, identities)
    return unit(sums[:: -(-len(sums) // MAX_IDENTITIES)])
