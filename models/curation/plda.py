"""A view in which the members of a cluster differ equally in all directions.

The two-covariance model of speaker verification (PLDA: Prince and Elder 2007; Brümmer and de
Villiers 2010): a document is its cluster's centre plus a deviation, both Gaussian,

    x = μ + y_c + e,   y ~ N(0, B),   e ~ N(0, W).

Both covariances are diagonalised together, so that W is 1 on every axis and B is ``between``. How
much of a member a cluster of two tells, and how much one of ten, then follows by itself:

    log P(x | c) / P(x) with P(x | c) = N(x; shrunk centroid, posterior variance + 1).

Wrong ids blow W up by a part of B, which changes no axis and only shrinks ``between``; weights on
the documents, as curation comes to doubt them, undo that too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from models.arrays import Floats
from models.curation.documents import Ints

AXES = 160
"""At most so many axes: those along which clusters differ most."""
LEAST_BETWEEN = 0.02
"""Axes along which clusters differ less, relative to their members, tell nothing."""
FLOOR = 0.02
"""Share of the mean variance added to every axis within: no two pictures are quite alike."""
BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Space:
    """Axes of one view: ``(x − centre) @ matrix`` is (k,), with ``between`` (k,) = B/W."""

    centre: Floats
    matrix: Floats
    between: Floats

    def __call__(self, vectors: Floats) -> Floats:
        """Coordinates (n, k) of vectors (n, d)."""
        placed: Floats = ((vectors - self.centre) @ self.matrix).astype(np.float32, copy=False)
        return placed

    def comparable(self, places: Floats) -> Floats:
        """Coordinates (n, k) scaled to length 1, so that the inner product compares documents.

        Axes weigh by how much of their variance is between clusters.
        """
        scaled = places * np.sqrt(self.between) / (1 + self.between)
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        unit: Floats = (scaled / np.maximum(length, 1e-9)).astype(np.float32)
        return unit


def fit_space(vectors: Floats, labels: Ints, weights: Floats) -> Space:
    """The space of labelled vectors (n, d), each counting ``weights`` (n,), 0..1.

    W is shrunk to a multiple of the identity by what its d(d+1)/2 entries exceed the pairs it was
    seen in. With no two members anywhere, every direction counts the same.
    """
    used, rows = np.unique(labels, return_inverse=True)
    grouping = scipy.sparse.csr_matrix(
        (weights, (rows, np.arange(len(rows)))), (len(used), len(rows))
    )
    sizes = np.asarray(grouping.sum(axis=1)).ravel()
    squares = np.bincount(rows, weights**2, len(used))
    wide = vectors.astype(np.float64)
    centre = (weights @ wide) / max(weights.sum(), 1e-9)
    wide -= centre
    sums = grouping @ wide
    total = (wide * weights[:, None]).T @ wide / max(weights.sum(), 1e-9)
    # One document cannot deviate from itself: effective members less one, as weights go.
    freedom = float((sizes - squares / np.maximum(sizes, 1e-9)).sum())
    dim = vectors.shape[1]
    scale = float(np.trace(total)) / dim
    if freedom < 1:
        within = np.eye(dim) * scale / 2
    else:
        centroids = sums / np.maximum(sizes, 1e-9)[:, None]
        scatter = (wide * weights[:, None]).T @ wide - sums.T @ centroids
        within = scatter / freedom
        share = dim / (dim + freedom)
        within = (1 - share) * within + share * np.eye(dim) * np.trace(within) / dim
    within += np.eye(dim) * (FLOOR * np.trace(within) / dim + 1e-3 * scale + 1e-9)
    spread, axes = np.linalg.eigh(within)
    whiten = axes / np.sqrt(spread)
    ratio, turned = np.linalg.eigh(whiten.T @ total @ whiten)
    order = np.argsort(-ratio)[:AXES]
    between = np.maximum(ratio[order] - 1, 0)
    kept = between > LEAST_BETWEEN
    if not kept.any():
        kept[0], between[0] = True, LEAST_BETWEEN
    return Space(
        centre.astype(np.float32),
        (whiten @ turned[:, order[kept]]).astype(np.float32),
        between[kept].astype(np.float32),
    )


def membership_evidence(
    space: Space,
    places: Floats,
    candidates: Ints,
    shares: Floats,
    clusters: int,
    rows: Ints,
) -> Floats:
    """log P(x | cluster) / P(x) of documents for their candidates, without themselves: (rows, m).

    Args:
        space: of this view.
        places: coordinates (n, k); rows of NaN are documents this view does not see: 0.
        candidates: (n, m) clusters, −1 for none.
        shares: (n, m), 0..1: how much of each document each candidate holds now. What a document
            gave to a cluster is taken out before the two are compared.
        clusters: how many there are. A cluster without other members gives 0.
        rows: which documents are asked for.
    """
    seen = np.isfinite(places[:, 0])
    places = np.where(seen[:, None], places, 0)
    shares = shares * seen[:, None]
    sizes, sums = held(places, candidates, shares, clusters)
    found = np.zeros((len(rows), candidates.shape[1]), np.float32)
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        found[start : start + BLOCK] = _evidence(
            space.between, places[part], candidates[part], shares[part], sizes, sums
        )
    return np.where(seen[rows, None] & (candidates[rows] >= 0), found, 0)


def held(places: Floats, candidates: Ints, shares: Floats, clusters: int) -> tuple[Floats, Floats]:
    """What each cluster holds: its size (u,) and the sum of its members' coordinates (u, k)."""
    rows, columns = np.nonzero((candidates >= 0) & (shares > 0))
    grouping = scipy.sparse.csr_matrix(
        (shares[rows, columns], (candidates[rows, columns], rows)), (clusters, len(places))
    )
    sizes: Floats = np.asarray(grouping.sum(axis=1), np.float32).ravel()
    sums: Floats = np.asarray(grouping @ places, np.float32)
    return sizes, sums


def _evidence(
    between: Floats, places: Floats, candidates: Ints, shares: Floats, sizes: Floats, sums: Floats
) -> Floats:
    at = np.maximum(candidates, 0)
    size = np.maximum(sizes[at] - shares, 0)[..., None]
    total = sums[at] - shares[..., None] * places[:, None]
    doubt = between / (size * between + 1)
    spread = doubt + 1
    off = places[:, None] - doubt * total
    alone = places**2 / (between + 1) + np.log(between + 1)
    found: Floats = 0.5 * (alone[:, None] - off**2 / spread - np.log(spread)).sum(axis=2)
    found[size[..., 0] < 1e-3] = 0
    return found
