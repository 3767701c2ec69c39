"""Judges: what each says of every membership, on its own.

Geometry sees pictures (leave-one-out likelihood and centroid, neighbours' votes), text sees words
the same way, behaviour the links, metadata the category paths. A reranker judges pairs of
documents; as it is slow it is asked only where the others doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Documents, Ints
from models.curation.view_space import KINDS, START, Look, view_evidence

CONFLICT = 2.0
"""Nats against a label whose category path shares nothing with the document's own."""
ASKED = 3
"""Rivals of the own label that a reranker compares, and members of each that it sees."""
CERTAIN = 4.0
"""Log-odds beyond which a reranker's score counts no more."""


class Reranker(Protocol):
    """Judges pairs, as the listwise reranker's absolute score does (Pailitao-VL §5)."""

    def score(self, query_index: int, candidate_index: int) -> float:
        """Probability, 0..1, that two documents show the same product."""


@dataclass(frozen=True, eq=False)
class Testimony:
    """What one judge says: ``evidence`` (n, m, e) in nats or in its own units, 0 for no opinion.

    ``kinds`` name the e columns, ``start`` (e,) are the weights to begin with and,
    where they are ``known``, to end with; ``votes`` (n, m) the
    share of the neighbours in each candidate where the judge has asked them.
    """

    judge: str
    kinds: tuple[str, ...]
    evidence: Floats
    start: tuple[float, ...]
    known: bool = False
    votes: Floats | None = None


def testimonies(
    documents: Documents,
    looks: Sequence[Look],
    candidates: Ints,
    shares: Floats,
    clusters: int,
) -> tuple[Testimony, ...]:
    """Everything that the judges of views, links and categories say of the candidates."""
    found = []
    for view, look in zip(documents.views, looks, strict=True):
        evidence, votes = view_evidence(look, candidates, shares, clusters)
        kinds = tuple(f"{view.name} {kind}" for kind in KINDS)
        found.append(Testimony(view.judge, kinds, evidence, START, votes=votes))
    if len(documents.links):
        found.append(_behaviour(documents, candidates))
    if documents.categories and documents.label_categories:
        found.append(_metadata(documents, candidates))
    return tuple(found)


def second_opinion(
    reranker: Reranker, rows: Ints, candidates: Ints, shares: Floats, beliefs: Floats
) -> Floats:
    """A reranker's evidence (n, m) for some rows: mean log-odds over a cluster's firmest members.

    It compares the own label and the most believed others; what is not compared gets the lowest
    evidence given in its row, and so does a cluster without another member.
    """
    evidence = np.zeros(candidates.shape, np.float32)
    firm = _firmest(candidates, shares)
    for row in rows:
        asked = [0, *(int(at) for at in np.argsort(-beliefs[row], kind="stable") if at > 0)]
        said: dict[int, float] = {}
        for at in asked[: 1 + ASKED]:
            members = [one for one in firm.get(int(candidates[row, at]), ()) if one != row]
            scores = [reranker.score(int(row), one) for one in members[:ASKED]]
            if scores:
                share = np.clip(scores, 1e-4, 1 - 1e-4)
                odds = np.log(share / (1 - share))
                said[at] = float(np.clip(odds, -CERTAIN, CERTAIN).mean())
        if said:
            evidence[row] = min(said.values())
            for at, value in said.items():
                evidence[row, at] = value
    return evidence


def _behaviour(documents: Documents, candidates: Ints) -> Testimony:
    links = documents.links
    evidence = np.zeros((*candidates.shape, 1), np.float32)
    row, column = np.nonzero(candidates != UNKNOWN)
    labels = 1 + max(int(candidates.max()), int(links.labels.max()))
    known = links.documents * labels + links.labels
    order = np.argsort(known, kind="stable")
    wanted = row * labels + candidates[row, column]
    place = np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)
    hit = known[order][place] == wanted
    evidence[row[hit], column[hit], 0] = links.weights[order][place[hit]]
    return Testimony("behaviour", ("links",), evidence, (1.0,), known=True)


def _metadata(documents: Documents, candidates: Ints) -> Testimony:
    """Speaks only where a document's own path contradicts its label's, or where it has no label.

    Where they agree the one may have been copied from the other, and says nothing.
    """
    evidence = np.zeros((*candidates.shape, 1), np.float32)
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
                evidence[row, column, 0] = -CONFLICT * (1 - shared / depth)
    return Testimony("metadata", ("category",), evidence, (1.0,), known=True)


def _firmest(candidates: Ints, shares: Floats) -> dict[int, list[int]]:
    """Each cluster's members, those that it holds most of first."""
    best = shares.argmax(axis=1)
    rows = np.arange(len(candidates))
    firm: dict[int, list[int]] = {}
    for row in np.lexsort((rows, -shares[rows, best])):
        if shares[row, best[row]] > 0:
            firm.setdefault(int(candidates[row, best[row]]), []).append(int(row))
    return firm
