"""Organize: density-based expansion of the seeds (Pailitao-VL §4; not plain clustering).

Inferred pairs are taken from the strongest to the weakest, as in hierarchical density clustering
(HDBSCAN, Campello et al. 2013), but a cluster grows only by pairs that are as near as its own
members are to each other: a dense cluster takes in only near documents, a loose one others too. Two
seeds never merge: whether one of them is wrong is decided by review. Documents that are connected,
but to no seed, are a new cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Documents, Ints
from models.curation.propose import Proposal
from models.curation.view_space import ViewSpace

BY_CENTROID = 14
"""Candidates of the first view by nearest centroid; other views give half as many,"""
BY_NEIGHBOURS = 10
"""each view those of its nearest neighbours,"""
BY_LINKS = 4
"""and behaviour the strongest links."""
GROWTH_QUANTILE = 0.2
"""Of the strengths of a cluster's own pairs, which a new pair has to reach."""
PRIOR_PAIRS = 4.0
"""Pairs that the quantile over all clusters counts as, in the estimate of each cluster's own."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters before review.

    Attributes:
        names: the product ids, then the new clusters' names.
        members: (n,) label of each document: its seed, the cluster that it joined, or UNKNOWN.
        candidates: (n, m) labels that may be the true one, its own first; UNKNOWN where fewer.
        assigned: how many unlabelled documents joined a seed's cluster.
        new: how many clusters are new.
    """

    names: tuple[str, ...]
    members: Ints
    candidates: Ints
    assigned: int
    new: int

    @property
    def memberships(self) -> Floats:
        """Each document wholly in its cluster, (n, m): 1 there, else 0."""
        own = (self.candidates == self.members[:, None]) & (self.members[:, None] != UNKNOWN)
        found: Floats = own.astype(np.float32)
        return found


def organize(
    documents: Documents, view_spaces: tuple[ViewSpace, ...], proposal: Proposal
) -> Clusters:
    """Expand the seeds, then list for each document the clusters that it may belong to."""
    members = expand(proposal, len(documents.names))
    new = np.unique(members[members >= len(documents.names)])
    first_key = {
        label: min(documents.key(int(row)) for row in np.flatnonzero(members == label))
        for label in new
    }
    # Numbered by their contents, so that the order of the documents does not matter.
    order = sorted(new, key=lambda label: first_key[label])
    numbers = {label: len(documents.names) + at for at, label in enumerate(order)}
    members = np.array([numbers.get(label, label) for label in members], np.int64)
    names = (*documents.names, *(f"new:{first_key[label]}" for label in order))
    assigned = (documents.labels == UNKNOWN) & (members != UNKNOWN)
    assigned &= members < len(documents.names)
    return Clusters(
        names,
        members,
        candidates(documents, view_spaces, members, len(names)),
        int(assigned.sum()),
        len(new),
    )


def expand(proposal: Proposal, labels: int) -> Ints:
    """Grow the seeds along the inferred pairs: (n,) labels; ``labels`` and up are new clusters."""
    seeds, left, right = proposal.seeds, proposal.left, proposal.right
    least = _least_strength(proposal, labels)
    root = np.arange(len(seeds))
    label = seeds.copy()

    def find(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = int(root[row])
        return row

    for at in np.argsort(-proposal.strength, kind="stable"):
        one, other = find(int(left[at])), find(int(right[at]))
        if one == other or (label[one] != UNKNOWN and label[other] != UNKNOWN):
            continue
        taken = max(label[one], label[other])
        if taken != UNKNOWN and proposal.strength[at] < least[taken]:
            continue
        root[max(one, other)] = min(one, other)
        label[min(one, other)] = taken
    roots = np.array([find(row) for row in range(len(seeds))], np.int64)
    members = label[roots]
    _, component, sizes = np.unique(roots, return_inverse=True, return_counts=True)
    new = (members == UNKNOWN) & (sizes[component] > 1)
    members[new] = labels + component[new]
    return members


def candidates(
    documents: Documents, view_spaces: tuple[ViewSpace, ...], members: Ints, clusters: int
) -> Ints:
    """Labels that may be each document's true one, its own first, none twice: (n, m)."""
    lists = [members[:, None], documents.labels[:, None], _by_links(documents)]
    for at, space in enumerate(view_spaces):
        near = space.neighbours.rows[:, :BY_NEIGHBOURS]
        lists.append(np.where(near == UNKNOWN, UNKNOWN, members[np.maximum(near, 0)]))
        count = BY_CENTROID if at == 0 else BY_CENTROID // 2
        lists.append(_by_centroid(space, members, clusters, count))
    return compact(np.concatenate(lists, axis=1))


def compact(lists: Ints) -> Ints:
    """Rows of labels without repeats, UNKNOWN at the end, order kept."""
    order = np.argsort(lists, axis=1, kind="stable")
    ordered = np.take_along_axis(lists, order, 1)
    repeated = np.zeros(lists.shape, bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    drop = np.empty(lists.shape, bool)
    np.put_along_axis(drop, order, repeated, 1)
    kept = np.where(drop, UNKNOWN, lists)
    front = np.argsort(kept == UNKNOWN, axis=1, kind="stable")
    kept = np.take_along_axis(kept, front, 1)
    width = max(1, int((kept != UNKNOWN).sum(axis=1).max()))
    return kept[:, :width]


def _least_strength(proposal: Proposal, labels: int) -> Floats:
    """How strong a pair must be to grow each cluster, (labels,): a quantile of its own pairs."""
    one, other = proposal.seeds[proposal.left], proposal.seeds[proposal.right]
    inside = (one == other) & (one != UNKNOWN)
    if not inside.any():
        return np.zeros(labels, np.float32)
    own, strength = one[inside], proposal.strength[inside]
    overall = float(np.quantile(strength, GROWTH_QUANTILE))
    least = np.full(labels, overall, np.float32)
    order = np.argsort(own, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(own[order]) > 0])
    for part in np.split(order, starts[1:]):
        mine = float(np.quantile(strength[part], GROWTH_QUANTILE))
        least[own[part[0]]] = (len(part) * mine + PRIOR_PAIRS * overall) / (len(part) + PRIOR_PAIRS)
    return least


def _by_centroid(space: ViewSpace, members: Ints, clusters: int, count: int) -> Ints:
    """The clusters with the nearest centroids, in the space of each document's fold."""
    found = np.full((len(members), min(count, clusters)), UNKNOWN)
    for fold in range(len(space.models)):
        rows = np.flatnonzero((space.fold == fold) & np.isfinite(space.coordinates[fold][:, 0]))
        points = space.normalised(fold)
        inside = (members != UNKNOWN) & np.isfinite(points[:, 0])
        if not len(rows) or not inside.any():
            continue
        sums = np.zeros((clusters, points.shape[1]), np.float32)
        np.add.at(sums, members[inside], points[inside])
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        index = faiss.IndexFlatIP(points.shape[1])
        index.add(np.ascontiguousarray(sums / np.maximum(length, 1e-9)))
        _, near = index.search(np.ascontiguousarray(points[rows]), found.shape[1])
        # Clusters without a member in this view have no centroid.
        found[rows] = np.where(length[near, 0] > 0, near, UNKNOWN)
    return found


def _by_links(documents: Documents) -> Ints:
    links = documents.links
    found = np.full((len(documents), BY_LINKS), UNKNOWN)
    filled = np.zeros(len(documents), np.int64)
    for at in np.argsort(-links.weights, kind="stable"):
        row = links.documents[at]
        if filled[row] < BY_LINKS:
            found[row, filled[row]] = links.labels[at]
            filled[row] += 1
    return found
