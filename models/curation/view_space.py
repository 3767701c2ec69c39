"""One view of all documents, in spaces that were fitted without the documents' own labels.

A space that was fitted on a document's own label has seen how that document deviates from it, right
or wrong, and pulls the two together: with hundreds of axes and a few members each, enough to hide
every wrong id. So labels are dealt into folds, and each document is placed in the space that was
fitted without the labels of its fold (cross-fitting, as in Chernozhukov et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Ints, View
from models.curation.neighbours import Neighbours, mutual, nearest
from models.curation.plda import Plda, cluster_sums, fit_plda, log_likelihood_ratios

FOLDS = 3
NEIGHBOURS = 20
ONE_SIDED_VOTE = 0.3
"""What the vote of a neighbour counts that is not mutual."""
SMOOTHING = 0.003
"""Share of the votes that every cluster has: small, or it would itself explain wrong ids."""
VIEW_EVIDENCE = ("likelihood", "cosine", "votes")
"""The kinds of evidence of one view: see `view_evidence`."""
INITIAL_WEIGHTS = (0.1, 3.0, 0.3)
"""Of the three kinds, measured on grocery photos."""
MIN_WEIGHT = 0.01
"""Of a document: a space needs some to be fitted to."""
BLOCK = 1024


@dataclass(frozen=True, eq=False)
class ViewSpace:
    """A view, cross-fitted. ``fold`` (n,) is the index in ``models`` of each document's model.

    ``coordinates`` are those of all documents (n, k) by each model, NaN where the view is missing.
    """

    fold: Ints
    models: tuple[Plda, ...]
    coordinates: tuple[Floats, ...]
    neighbours: Neighbours

    def normalised(self, fold: int) -> Floats:
        """All documents (n, k), of length 1, in the space of one fold."""
        return self.models[fold].normalised(self.coordinates[fold])


def fit_view_space(view: View, labels: Ints, weights: Floats) -> ViewSpace:
    """Fit the models of one view and find all neighbours.

    ``weights`` (n,), 0..1, are the probabilities of the labels. Unlabelled documents are neighbours
    like others, and are placed in the space of the first fold.
    """
    present = view.present
    fold = np.where(labels == UNKNOWN, 0, labels % FOLDS)
    models, coordinates = [], []
    rows = np.full((len(labels), max(1, min(NEIGHBOURS, len(labels) - 1))), UNKNOWN)
    cosines = np.zeros(rows.shape, np.float32)
    for number in range(FOLDS):
        training = np.flatnonzero(present & (labels != UNKNOWN) & (fold != number))
        training_labels = labels[training]
        if len(training) < 2:
            training = np.flatnonzero(present)
            training_labels = np.arange(len(training))
        model = fit_plda(
            view.vectors[training], training_labels, np.maximum(weights[training], MIN_WEIGHT)
        )
        placed = np.where(present[:, None], model(view.vectors), np.nan).astype(np.float32)
        members = fold == number
        if members.any():
            near = nearest(model.normalised(placed), NEIGHBOURS, queries=members)
            rows[members], cosines[members] = near.rows[members], near.cosines[members]
        models.append(model)
        coordinates.append(placed)
    neighbours = Neighbours(rows, cosines, mutual(rows))
    return ViewSpace(fold, tuple(models), tuple(coordinates), neighbours)


def view_evidence(
    space: ViewSpace, candidates: Ints, memberships: Floats, clusters: int
) -> tuple[Floats, Floats]:
    """Three kinds of evidence for each candidate (n, m, 3), and the shares of the votes (n, m).

    Leave-one-out log-likelihood ratio of the cluster, cosine to its leave-one-out centroid, and the
    votes of the neighbours, log((share + s) / s). All 0 for documents without this view.
    """
    votes = _vote_shares(space.neighbours, candidates, memberships, clusters)
    likelihood = _by_fold(
        space,
        candidates.shape,
        lambda fold, rows: log_likelihood_ratios(
            space.models[fold], space.coordinates[fold], candidates, memberships, clusters, rows
        ),
    )
    cosine = _by_fold(
        space,
        candidates.shape,
        lambda fold, rows: centroid_cosine(
            space.normalised(fold), candidates, memberships, clusters, rows
        ),
    )
    logs = np.where(candidates == UNKNOWN, 0, np.log((votes + SMOOTHING) / SMOOTHING))
    return np.stack([likelihood, cosine, logs], axis=2).astype(np.float32), votes


def centroid_cosine(
    points: Floats, candidates: Ints, memberships: Floats, clusters: int, rows: Ints
) -> Floats:
    """Cosine of unit points (n, k) to their candidates' leave-one-out centroids, (rows, m).

    0 for clusters without other members, and for points that are not finite.
    """
    finite = np.isfinite(points[:, 0])
    points = np.where(finite[:, None], points, 0)
    memberships = memberships * finite[:, None]
    sizes, sums = cluster_sums(points, candidates, memberships, clusters)
    found = np.zeros((len(rows), candidates.shape[1]), np.float32)
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        at = np.maximum(candidates[part], 0)
        others = sums[at] - memberships[part][..., None] * points[part][:, None]
        length = np.maximum(np.linalg.norm(others, axis=2), 1e-6)
        cosine = np.einsum("nmk,nk->nm", others, points[part]) / length
        there = (candidates[part] != UNKNOWN) & (sizes[at] - memberships[part] > 1e-3)
        found[start : start + BLOCK] = np.where(there, cosine, 0)
    return found


def _by_fold(
    space: ViewSpace, shape: tuple[int, ...], evidence_of: Callable[[int, Ints], Floats]
) -> Floats:
    """Evidence (n, m) of all documents, those of each fold in its own space."""
    found = np.zeros(shape, np.float32)
    for fold in range(len(space.models)):
        rows = np.flatnonzero(space.fold == fold)
        if len(rows):
            found[rows] = evidence_of(fold, rows)
    return found


def _vote_shares(
    neighbours: Neighbours, candidates: Ints, memberships: Floats, clusters: int
) -> Floats:
    """Share of each document's neighbours in each candidate, (n, m), weighted by nearness.

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
    bandwidth = max(float(np.median(steps)) / 2, 1e-3)
    weights = np.exp((near - np.where(np.isfinite(top), top, 0)) / bandwidth)
    weights *= np.where(neighbours.mutual, 1, ONE_SIDED_VOTE)
    voters = scipy.sparse.csr_matrix(
        (weights[there], (np.nonzero(there)[0], neighbours.rows[there])), (n, n)
    )
    row, column = np.nonzero((candidates != UNKNOWN) & (memberships > 0))
    members = scipy.sparse.csr_matrix(
        (memberships[row, column], (row, candidates[row, column])), (n, clusters)
    )
    votes = (voters @ members).tocsr()
    total = np.maximum(weights.sum(axis=1, where=there), 1e-9)
    flat = votes[np.repeat(np.arange(n), candidates.shape[1]), np.maximum(candidates, 0).ravel()]
    shares: Floats = np.asarray(flat, np.float32).reshape(candidates.shape) / total[:, None]
    return np.where(candidates == UNKNOWN, 0, shares)
