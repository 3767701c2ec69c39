"""Probabilistic linear discriminant analysis: a view scaled by its variance between and within.

The two-covariance model of speaker verification (PLDA: Prince and Elder 2007; Brümmer and de
Villiers 2010): a document is its cluster's centre plus a deviation, both Gaussian,

    x = μ + y_c + e,   y ~ N(0, B),   e ~ N(0, W).

Both covariances are diagonalised together, so that W is 1 on every axis and B is ``between``. How
much a cluster of two members says, and how much one of ten, follows from the likelihood ratio

    log P(x | c) / P(x) with P(x | c) = N(x; shrunk centroid, posterior variance + 1).

Wrong ids inflate W by a part of B, which changes no axis and only shrinks ``between``; weights on
the documents, as curation comes to doubt their labels, undo that too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from models.arrays import Floats
from models.curation.documents import Ints

MAX_AXES = 160
"""Axes that are kept: those along which clusters differ most."""
MIN_BETWEEN = 0.02
"""Axes with a smaller variance between clusters, relative to that within, are left out."""
WITHIN_FLOOR = 0.02
"""Share of the mean variance within that is added to every axis: no two pictures are identical."""
BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Plda:
    """Axes of one view: ``(x − centre) @ matrix`` is (k,), with ``between`` (k,) = B/W."""

    centre: Floats
    matrix: Floats
    between: Floats

    def __call__(self, vectors: Floats) -> Floats:
        """Coordinates (n, k) of vectors (n, d)."""
        found: Floats = ((vectors - self.centre) @ self.matrix).astype(np.float32, copy=False)
        return found

    def normalised(self, coordinates: Floats) -> Floats:
        """Coordinates (n, k) scaled to length 1, so that the inner product compares documents.

        Axes weigh by the share of their variance that is between clusters.
        """
        scaled = coordinates * np.sqrt(self.between) / (1 + self.between)
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        found: Floats = (scaled / np.maximum(length, 1e-9)).astype(np.float32)
        return found


def fit_plda(vectors: Floats, labels: Ints, weights: Floats) -> Plda:
    """The model of labelled vectors (n, d), each with a weight (n,), 0..1.

    W is shrunk towards a multiple of the identity, the more, the fewer degrees of freedom there are
    for each dimension. Without any two members of one cluster, all directions count the same.
    """
    used, rows = np.unique(labels, return_inverse=True)
    grouping = scipy.sparse.csr_matrix(
        (weights, (rows, np.arange(len(rows)))), (len(used), len(rows))
    )
    sizes = np.asarray(grouping.sum(axis=1)).ravel()
    squares = np.bincount(rows, weights**2, len(used))
    centred = vectors.astype(np.float64)
    centre = (weights @ centred) / max(weights.sum(), 1e-9)
    centred -= centre
    sums = grouping @ centred
    total = (centred * weights[:, None]).T @ centred / max(weights.sum(), 1e-9)
    # Degrees of freedom: effective members less one for each cluster.
    freedom = float((sizes - squares / np.maximum(sizes, 1e-9)).sum())
    dim = vectors.shape[1]
    scale = float(np.trace(total)) / dim
    if freedom < 1:
        within = np.eye(dim) * scale / 2
    else:
        centroids = sums / np.maximum(sizes, 1e-9)[:, None]
        scatter = (centred * weights[:, None]).T @ centred - sums.T @ centroids
        within = scatter / freedom
        shrinkage = dim / (dim + freedom)
        within = (1 - shrinkage) * within + shrinkage * np.eye(dim) * np.trace(within) / dim
    within += np.eye(dim) * (WITHIN_FLOOR * np.trace(within) / dim + 1e-3 * scale + 1e-9)
    variances, axes = np.linalg.eigh(within)
    whiten = axes / np.sqrt(variances)
    ratio, rotation = np.linalg.eigh(whiten.T @ total @ whiten)
    order = np.argsort(-ratio)[:MAX_AXES]
    between = np.maximum(ratio[order] - 1, 0)
    kept = between > MIN_BETWEEN
    if not kept.any():
        kept[0], between[0] = True, MIN_BETWEEN
    return Plda(
        centre.astype(np.float32),
        (whiten @ rotation[:, order[kept]]).astype(np.float32),
        between[kept].astype(np.float32),
    )


def log_likelihood_ratios(
    plda: Plda,
    coordinates: Floats,
    candidates: Ints,
    memberships: Floats,
    clusters: int,
    rows: Ints,
) -> Floats:
    """log P(x | cluster) / P(x) of documents for their candidates, leave-one-out: (rows, m).

    Args:
        plda: of this view.
        coordinates: (n, k); rows of NaN are documents without this view, whose ratio is 0.
        candidates: (n, m) clusters, −1 for none.
        memberships: (n, m), 0..1: how much of each document is in each candidate. That part is
            taken out of the cluster before the two are compared.
        clusters: how many there are. A cluster without other members gives 0.
        rows: the documents whose ratios are wanted.
    """
    present = np.isfinite(coordinates[:, 0])
    coordinates = np.where(present[:, None], coordinates, 0)
    memberships = memberships * present[:, None]
    sizes, sums = cluster_sums(coordinates, candidates, memberships, clusters)
    found = np.zeros((len(rows), candidates.shape[1]), np.float32)
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        found[start : start + BLOCK] = _ratios(
            plda.between, coordinates[part], candidates[part], memberships[part], sizes, sums
        )
    return np.where(present[rows, None] & (candidates[rows] >= 0), found, 0)


def cluster_sums(
    coordinates: Floats, candidates: Ints, memberships: Floats, clusters: int
) -> tuple[Floats, Floats]:
    """Size (u,) of each cluster and the sum (u, k) of its members, both by membership."""
    rows, columns = np.nonzero((candidates >= 0) & (memberships > 0))
    grouping = scipy.sparse.csr_matrix(
        (memberships[rows, columns], (candidates[rows, columns], rows)),
        (clusters, len(coordinates)),
    )
    sizes: Floats = np.asarray(grouping.sum(axis=1), np.float32).ravel()
    sums: Floats = np.asarray(grouping @ coordinates, np.float32)
    return sizes, sums


def _ratios(
    between: Floats,
    coordinates: Floats,
    candidates: Ints,
    memberships: Floats,
    sizes: Floats,
    sums: Floats,
) -> Floats:
    at = np.maximum(candidates, 0)
    size = np.maximum(sizes[at] - memberships, 0)[..., None]
    total = sums[at] - memberships[..., None] * coordinates[:, None]
    centre_variance = between / (size * between + 1)
    variance = centre_variance + 1
    deviation = coordinates[:, None] - centre_variance * total
    marginal = coordinates**2 / (between + 1) + np.log(between + 1)
    found: Floats = 0.5 * (marginal[:, None] - deviation**2 / variance - np.log(variance)).sum(
        axis=2
    )
    found[size[..., 0] < 1e-3] = 0
    return found
