"""One view's look at all documents: spaces that no document's own label has shaped, neighbours.

A space fitted on a document's own label has seen how that document deviates from it, right or
wrong, and pulls the two together: with hundreds of axes and a few members each, enough to hide
every wrong id. So labels are dealt into folds, and each document is looked at in the space that
was fitted without the labels of its fold (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Ints, View
from models.curation.neighbours import Neighbours, mutual, nearest
from models.curation.plda import Space, fit_space, held, membership_evidence

FOLDS = 3
NEIGHBOURS = 20
ONE_SIDED = 0.3
"""What a neighbour's vote counts that does not return the neighbourhood."""
SMOOTHING = 0.003
"""Share of the votes that everybody has: small, or it would itself explain wrong ids."""
KINDS = ("likelihood", "cosine", "votes")
"""The evidence of one view: see `view_evidence`."""
START = (0.1, 3.0, 0.3)
"""Weights that the three kinds begin with, measured on grocery photos."""
BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Look:
    """What one view sees. ``fold`` (n,) says which of ``spaces`` looks at which document.

    ``places`` are the coordinates (n, k) in each space, NaN where the view sees nothing.
    """

    fold: Ints
    spaces: tuple[Space, ...]
    places: tuple[Floats, ...]
    neighbours: Neighbours

    def comparable(self, fold: int) -> Floats:
        """All documents (n, k), of length 1, as the documents of a fold see them."""
        return self.spaces[fold].comparable(self.places[fold])


def look(view: View, labels: Ints, weights: Floats) -> Look:
    """Fit the spaces of one view and find everybody's neighbours.

    ``weights`` (n,), 0..1, say how far each label is believed. Unlabelled documents take part as
    neighbours and are looked at in the first space.
    """
    seen = view.present
    fold = np.where(labels == UNKNOWN, 0, labels % FOLDS)
    spaces, places = [], []
    rows = np.full((len(labels), max(1, min(NEIGHBOURS, len(labels) - 1))), UNKNOWN)
    cosines = np.zeros(rows.shape, np.float32)
    for number in range(FOLDS):
        taught = np.flatnonzero(seen & (labels != UNKNOWN) & (fold != number))
        names = labels[taught]
        if len(taught) < 2:
            taught = np.flatnonzero(seen)
            names = np.arange(len(taught))
        space = fit_space(view.vectors[taught], names, _trust(weights[taught]))
        placed = np.where(seen[:, None], space(view.vectors), np.nan).astype(np.float32)
        mine = fold == number
        if mine.any():
            near = nearest(space.comparable(placed), NEIGHBOURS, asking=mine)
            rows[mine], cosines[mine] = near.rows[mine], near.cosines[mine]
        spaces.append(space)
        places.append(placed)
    return Look(fold, tuple(spaces), tuple(places), Neighbours(rows, cosines, mutual(rows)))


def view_evidence(
    seen: Look, candidates: Ints, shares: Floats, clusters: int
) -> tuple[Floats, Floats]:
    """Three kinds of evidence for each candidate (n, m, 3), and the plain vote shares (n, m).

    Leave-one-out likelihood of the cluster, cosine to its leave-one-out centroid, and the votes of
    the neighbours, log((share + s) / s). All 0 where the view does not see the document.
    """
    votes = _votes(seen.neighbours, candidates, shares, clusters)
    likelihood = _by_fold(
        seen,
        candidates.shape,
        lambda at, rows: membership_evidence(
            seen.spaces[at], seen.places[at], candidates, shares, clusters, rows
        ),
    )
    cosine = _by_fold(
        seen,
        candidates.shape,
        lambda at, rows: centroid_cosine(seen.comparable(at), candidates, shares, clusters, rows),
    )
    logs = np.where(candidates == UNKNOWN, 0, np.log((votes + SMOOTHING) / SMOOTHING))
    return np.stack([likelihood, cosine, logs], axis=2).astype(np.float32), votes


def centroid_cosine(
    points: Floats, candidates: Ints, shares: Floats, clusters: int, rows: Ints
) -> Floats:
    """Cosine of unit points (n, k) to their candidates' centroids without themselves, (rows, m).

    0 for clusters without other members, and for points that are not finite.
    """
    finite = np.isfinite(points[:, 0])
    points = np.where(finite[:, None], points, 0)
    shares = shares * finite[:, None]
    sizes, sums = held(points, candidates, shares, clusters)
    found = np.zeros((len(rows), candidates.shape[1]), np.float32)
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        at = np.maximum(candidates[part], 0)
        others = sums[at] - shares[part][..., None] * points[part][:, None]
        length = np.maximum(np.linalg.norm(others, axis=2), 1e-6)
        cosine = np.einsum("nmk,nk->nm", others, points[part]) / length
        there = (candidates[part] != UNKNOWN) & (sizes[at] - shares[part] > 1e-3)
        found[start : start + BLOCK] = np.where(there, cosine, 0)
    return found


def _by_fold(seen: Look, shape: tuple[int, ...], judge: Callable[[int, Ints], Floats]) -> Floats:
    found = np.zeros(shape, np.float32)
    for number in range(len(seen.spaces)):
        rows = np.flatnonzero(seen.fold == number)
        if len(rows):
            found[rows] = judge(number, rows)
    return found


def _votes(neighbours: Neighbours, candidates: Ints, shares: Floats, clusters: int) -> Floats:
    """Share of each document's neighbours in each candidate, (n, m), by nearness and mutuality.

    Nearness is relative to the density on both sides (CSLS, Lample et al. 2018).
    """
    n, there = len(neighbours), neighbours.rows != UNKNOWN
    if not there.any():
        return np.zeros(candidates.shape, np.float32)
    at = np.maximum(neighbours.rows, 0)
    density = (neighbours.cosines * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    near = np.where(there, neighbours.cosines - (density[:, None] + density[at]) / 2, -np.inf)
    top = near.max(axis=1, keepdims=True)
    some = there.any(axis=1)
    steps = top[some, 0] - np.median(np.where(there, near, top - 1)[some], axis=1)
    width = max(float(np.median(steps)) / 2, 1e-3)
    counts = np.exp((near - np.where(np.isfinite(top), top, 0)) / width)
    counts *= np.where(neighbours.mutual, 1, ONE_SIDED)
    voters = scipy.sparse.csr_matrix(
        (counts[there], (np.nonzero(there)[0], neighbours.rows[there])), (n, n)
    )
    row, column = np.nonzero((candidates != UNKNOWN) & (shares > 0))
    held_by = scipy.sparse.csr_matrix(
        (shares[row, column], (row, candidates[row, column])), (n, clusters)
    )
    cast = (voters @ held_by).tocsr()
    total = np.maximum(counts.sum(axis=1, where=there), 1e-9)
    flat = cast[np.repeat(np.arange(n), candidates.shape[1]), np.maximum(candidates, 0).ravel()]
    votes: Floats = np.asarray(flat, np.float32).reshape(candidates.shape) / total[:, None]
    return np.where(candidates == UNKNOWN, 0, votes)


def _trust(weights: Floats) -> Floats:
    """Weights that never vanish altogether: a space needs somebody to learn from."""
    trusted: Floats = np.maximum(weights, 0.01)
    return trusted
