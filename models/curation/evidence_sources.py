"""Sources of evidence for and against every membership, each independent of the others.

Geometry sees pictures (leave-one-out likelihood and centroid, votes of the neighbours), text sees
text the same way, behaviour the links, metadata the category paths. A reranker compares pairs of
documents; as it is slow it is asked only where the others are uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Documents, Ints
from models.curation.view_space import (
    INITIAL_WEIGHTS,
    VIEW_EVIDENCE,
    ViewSpace,
    view_evidence,
)

CATEGORY_CONFLICT = 2.0
"""Nats against a label whose category path shares nothing with the document's own."""
COMPARED = 3
"""Rivals of the own label that a reranker compares, and members of each that it sees."""
MAX_LOG_ODDS = 4.0
"""To which a reranker's scores are clipped."""


class Reranker(Protocol):
    """Scores pairs, as the listwise reranker's absolute score does (Pailitao-VL §5)."""

    def score(self, query_index: int, candidate_index: int) -> float:
        """Probability, 0..1, that two documents show the same product."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence of one source: ``values`` (n, m, e) in nats or in units of its own, 0 for none.

    ``kinds`` name the e columns. ``initial_weights`` (e,) are where fitting begins, and ends if
    they are ``fixed``. ``votes`` (n, m) are the shares of the neighbours in each candidate, if the
    source has neighbours.
    """

    source: str
    kinds: tuple[str, ...]
    values: Floats
    initial_weights: tuple[float, ...]
    fixed: bool = False
    votes: Floats | None = None


def collect_evidence(
    documents: Documents,
    view_spaces: Sequence[ViewSpace],
    candidates: Ints,
    memberships: Floats,
    clusters: int,
) -> tuple[Evidence, ...]:
    """The evidence of views, links and categories for the candidates."""
    found = []
    for view, space in zip(documents.views, view_spaces, strict=True):
        values, votes = view_evidence(space, candidates, memberships, clusters)
        kinds = tuple(f"{view.name} {kind}" for kind in VIEW_EVIDENCE)
        found.append(Evidence(view.source, kinds, values, INITIAL_WEIGHTS, votes=votes))
    if len(documents.links):
        found.append(_behaviour(documents, candidates))
    if documents.categories and documents.label_categories:
        found.append(_metadata(documents, candidates))
    return tuple(found)


def reranker_evidence(
    reranker: Reranker, rows: Ints, candidates: Ints, memberships: Floats, probabilities: Floats
) -> Floats:
    """A reranker's evidence (n, m) for some rows: mean log-odds over a cluster's firmest members.

    It compares the own label and the most probable others; what is not compared gets the lowest
    evidence of its row, and so does a cluster without another member.
    """
    evidence = np.zeros(candidates.shape, np.float32)
    firmest = _firmest(candidates, memberships)
    for row in rows:
        order = [0, *(int(at) for at in np.argsort(-probabilities[row], kind="stable") if at > 0)]
        found: dict[int, float] = {}
        for at in order[: 1 + COMPARED]:
            members = [one for one in firmest.get(int(candidates[row, at]), ()) if one != row]
            scores = [reranker.score(int(row), one) for one in members[:COMPARED]]
            if scores:
                clipped = np.clip(scores, 1e-4, 1 - 1e-4)
                odds = np.log(clipped / (1 - clipped))
                found[at] = float(np.clip(odds, -MAX_LOG_ODDS, MAX_LOG_ODDS).mean())
        if found:
            evidence[row] = min(found.values())
            for at, value in found.items():
                evidence[row, at] = value
    return evidence


def _behaviour(documents: Documents, candidates: Ints) -> Evidence:
    links = documents.links
    values = np.zeros((*candidates.shape, 1), np.float32)
    row, column = np.nonzero(candidates != UNKNOWN)
    labels = 1 + max(int(candidates.max()), int(links.labels.max()))
    linked = links.documents * labels + links.labels
    order = np.argsort(linked, kind="stable")
    wanted = row * labels + candidates[row, column]
    place = np.minimum(np.searchsorted(linked[order], wanted), len(linked) - 1)
    hit = linked[order][place] == wanted
    values[row[hit], column[hit], 0] = links.weights[order][place[hit]]
    return Evidence("behaviour", ("links",), values, (1.0,), fixed=True)


def _metadata(documents: Documents, candidates: Ints) -> Evidence:
    """Only where a document's own path contradicts its label's, or where it has no label.

    Where they agree the one may have been copied from the other, which is no evidence.
    """
    values = np.zeros((*candidates.shape, 1), np.float32)
    paths = documents.label_categories
    for row, own in enumerate(documents.categories):
        label = documents.labels[row]
        if not own or (label != UNKNOWN and paths[label] in (own, ())):
            continue
        for column, candidate in enumerate(candidates[row]):
            if UNKNOWN != candidate < len(paths) and paths[candidate]:
                other = paths[candidate]
                shared = sum(a == b for a, b in zip(own, other, strict=False))
                depth = max(len(own), len(other))
                values[row, column, 0] = -CATEGORY_CONFLICT * (1 - shared / depth)
    return Evidence("metadata", ("category",), values, (1.0,), fixed=True)


def _firmest(candidates: Ints, memberships: Floats) -> dict[int, list[int]]:
    """Each cluster's members, those with the largest membership first."""
    best = memberships.argmax(axis=1)
    rows = np.arange(len(candidates))
    firmest: dict[int, list[int]] = {}
    for row in np.lexsort((rows, -memberships[rows, best])):
        if memberships[row, best[row]] > 0:
            firmest.setdefault(int(candidates[row, best[row]]), []).append(int(row))
    return firmest
