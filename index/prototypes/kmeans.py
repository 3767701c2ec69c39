"""Prototype banks by spherical k-means, with consecutive rows near each other."""

from __future__ import annotations

import math

import faiss
import numpy as np
import numpy.typing as npt

from index.prototypes.bank import ITEMS_PER_PROTOTYPE, PrototypeBank
from index.vectors import Matrix, check_unit_rows


def build(
    vectors: Matrix, model_id: str, prototypes: int | None = None, seed: int = 0
) -> PrototypeBank:
    """Build a bank from a catalog's vectors by spherical k-means.

    Args:
        vectors: float32 of shape (n, d), ℓ2-normalised, n ≥ 1.
        model_id: the model that made them.
        prototypes: how many (at most n); by default :func:`default_prototypes` of n.
        seed: of the starting points. The same vectors, seed and machine give the same bank.

    Raises:
        BankError: no vectors, or vectors that are not finite and of unit length.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    check_unit_rows(vectors, "vectors")
    count = min(prototypes or default_prototypes(len(vectors)), len(np.unique(vectors, axis=0)))
    kmeans = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=25,
        spherical=True,
        seed=seed,
        min_points_per_centroid=1,  # no warning about small catalogs
        max_points_per_centroid=256,
    )
    kmeans.train(vectors)
    centroids = np.asarray(kmeans.centroids, np.float32)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    centroids = centroids[neighbour_order(centroids)]
    return PrototypeBank(centroids, model_id=model_id, built_from=len(vectors))


def default_prototypes(items: int) -> int:
    """√n, so that there are as many items per prototype; n / 100 from 10,000 items on."""
    return max(1, round(math.sqrt(items)), items // ITEMS_PER_PROTOTYPE)


def neighbour_order(centroids: Matrix) -> npt.NDArray[np.int64]:
    """An order (u,) in which consecutive rows are near: bisect by the principal direction.

    A layout with fewer partitions than prototypes puts consecutive ones into each, so that probing
    near prototypes touches few partitions.
    """

    def ordered(rows: npt.NDArray[np.int64], along: Matrix) -> npt.NDArray[np.int64]:
        if len(rows) == 1:
            return rows
        centred = centroids[rows] - centroids[rows].mean(axis=0)
        direction = np.linalg.svd(centred, full_matrices=False)[2][0]
        direction *= 1 if direction @ along >= 0 else -1  # the sign of an SVD is arbitrary
        halves = rows[np.argsort(centred @ direction, kind="stable")]
        middle = len(rows) // 2
        return np.concatenate(
            [ordered(halves[:middle], direction), ordered(halves[middle:], direction)]
        )

    return ordered(np.arange(len(centroids)), np.ones(centroids.shape[1], np.float32))
