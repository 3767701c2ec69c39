"""Organize: density-based expansion of the seeds (Pailitao-VL §4; not plain clustering).

Inferred pairs are taken from the strongest to the weakest, as in hierarchical density clustering
(HDBSCAN, Campello et al. 2013), but a cluster grows only by pairs as near as its own members are to
each other: a dense cluster absorbs its like, a loose one more. Two seeds never merge: whether one
of them is wrong is for review to say. What grows together without meeting a seed is a new cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Documents, Ints
from models.curation.propose import Proposal
from models.curation.view_space import Look

CENTROIDS = 14
"""Candidates of the first view by nearness of centroids; other views give half as many,"""
VOTED = 10
"""and each view those of its nearest neighbours;"""
LINKED = 4
"""and the best links of each document."""
STEADY = 4.0
"""Pairs that the loosest part of all clusters counts as when a cluster's own is found."""
LOOSE = 0.2
"""Quantile of a cluster's own pairs that a new pair has to reach."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters before review.

    Attributes:
        names: the product ids, then the new clusters' names.
        members: (n,) label of each document: its seed, what absorbed it, or UNKNOWN.
        candidates: (n, m) labels that it may truly have, its own first; UNKNOWN where fewer.
        absorbed: how many unlabelled documents joined a seed's cluster.
        fresh: how many clusters are new.
    """

    names: tuple[str, ...]
    members: Ints
    candidates: Ints
    absorbed: int
    fresh: int

    @property
    def shares(self) -> Floats:
        """Each document wholly in its cluster, (n, m)."""
        own = (self.candidates == self.members[:, None]) & (self.members[:, None] != UNKNOWN)
        whole: Floats = own.astype(np.float32)
        return whole


def organize(documents: Documents, looks: tuple[Look, ...], proposal: Proposal) -> Clusters:
    """Expand the seeds, then list for each document the clusters it may belong to."""
    members = expand(proposal, len(documents.names))
    fresh = np.unique(members[members >= len(documents.names)])
    least = {
        label: min(documents.key(int(row)) for row in np.flatnonzero(members == label))
        for label in fresh
    }
    # Numbered by what they hold, so that the order of the documents does not matter.
    order = sorted(fresh, key=lambda label: least[label])
    place = {label: len(documents.names) + at for at, label in enumerate(order)}
    members = np.array([place.get(label, label) for label in members], np.int64)
    names = (*documents.names, *(f"new:{least[label]}" for label in order))
    absorbed = (documents.labels == UNKNOWN) & (members != UNKNOWN)
    absorbed &= members < len(documents.names)
    return Clusters(
        names,
        members,
        candidates(documents, looks, members, len(names)),
        int(absorbed.sum()),
        len(fresh),
    )


def expand(proposal: Proposal, labels: int) -> Ints:
    """Grow the seeds along the inferred pairs: (n,) labels; ``labels`` and up are new clusters."""
    seeds, left, right = proposal.seeds, proposal.left, proposal.right
    reach = _reach(proposal, labels)
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
        if taken != UNKNOWN and proposal.strength[at] < reach[taken]:
            continue
        root[max(one, other)] = min(one, other)
        label[min(one, other)] = taken
    roots = np.array([find(row) for row in range(len(seeds))], np.int64)
    members = label[roots]
    _, place, sizes = np.unique(roots, return_inverse=True, return_counts=True)
    new = (members == UNKNOWN) & (sizes[place] > 1)
    members[new] = labels + place[new]
    return members


def candidates(documents: Documents, looks: tuple[Look, ...], members: Ints, clusters: int) -> Ints:
    """Labels that each document may truly have, its own first, none twice: (n, m)."""
    lists = [members[:, None], documents.labels[:, None], _linked(documents)]
    for at, look in enumerate(looks):
        near = look.neighbours.rows[:, :VOTED]
        lists.append(np.where(near == UNKNOWN, UNKNOWN, members[np.maximum(near, 0)]))
        lists.append(_central(look, members, clusters, CENTROIDS if at == 0 else CENTROIDS // 2))
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


def _reach(proposal: Proposal, labels: int) -> Floats:
    """How strong a pair must be to grow each cluster, (labels,): its own local scale."""
    one, other = proposal.seeds[proposal.left], proposal.seeds[proposal.right]
    inside = (one == other) & (one != UNKNOWN)
    if not inside.any():
        return np.zeros(labels, np.float32)
    own, strength = one[inside], proposal.strength[inside]
    overall = float(np.quantile(strength, LOOSE))
    reach = np.full(labels, overall, np.float32)
    order = np.argsort(own, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(own[order]) > 0])
    for part in np.split(order, starts[1:]):
        mine = float(np.quantile(strength[part], LOOSE))
        reach[own[part[0]]] = (len(part) * mine + STEADY * overall) / (len(part) + STEADY)
    return reach


def _central(look: Look, members: Ints, clusters: int, count: int) -> Ints:
    """The clusters with the nearest centroids, in the space that each document is looked at in."""
    found = np.full((len(members), min(count, clusters)), UNKNOWN)
    for number in range(len(look.spaces)):
        asking = np.flatnonzero((look.fold == number) & np.isfinite(look.places[number][:, 0]))
        points = look.comparable(number)
        inside = (members != UNKNOWN) & np.isfinite(points[:, 0])
        if not len(asking) or not inside.any():
            continue
        sums = np.zeros((clusters, points.shape[1]), np.float32)
        np.add.at(sums, members[inside], points[inside])
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        index = faiss.IndexFlatIP(points.shape[1])
        index.add(np.ascontiguousarray(sums / np.maximum(length, 1e-9)))
        _, near = index.search(np.ascontiguousarray(points[asking]), found.shape[1])
        # A cluster that this view sees nobody of is near to nobody.
        found[asking] = np.where(length[near, 0] > 0, near, UNKNOWN)
    return found


def _linked(documents: Documents) -> Ints:
    links = documents.links
    found = np.full((len(documents), LINKED), UNKNOWN)
    filled = np.zeros(len(documents), np.int64)
    for at in np.argsort(-links.weights, kind="stable"):
        row = links.documents[at]
        if filled[row] < LINKED:
            found[row, filled[row]] = links.labels[at]
            filled[row] += 1
    return found
