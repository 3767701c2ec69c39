"""Curate: plan → propose → organize → review in a row, and what comes out.

The result is clusters: labels and weights for training, centroids for the bank, and for everything
that was changed or pruned the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Documents, Flags, Ints
from models.curation.explanations import reasons
from models.curation.judges import Reranker
from models.curation.organize import Clusters, organize
from models.curation.plan import Plan, plan
from models.curation.propose import Proposal, propose
from models.curation.review import ERRORS, ROUNDS, Review, review
from models.curation.view_space import look
from models.progress import Phases, no_phases, of_phase


class Verdict(StrEnum):
    """What became of a document."""

    KEPT = "kept"
    """It keeps its id."""
    MOVED = "moved"
    """Its id was wrong; it is given the one it shows."""
    ABSORBED = "absorbed"
    """It had no id and joined a cluster."""
    PRUNED = "pruned"
    """It is not like its own cluster, and like no other one enough; it trains nothing."""
    DISPUTED = "disputed"
    """Its id looks wrong, but the judges disagree; it stays, and counts little."""
    LEFT = "left"
    """It had no id and is like no cluster."""


@dataclass(frozen=True, eq=False)
class Curated:
    """The purified clusters.

    Attributes:
        labels: (n,) numbers into ``names``; UNKNOWN for what was pruned or left.
        names: the product ids as they were given, then ``new:KEY`` of clusters without one.
        weights: (n,), 0..1: how firmly a document belongs to its label; 0 where it has none.
        verdicts: (n,) what became of each.
        reasons: (n,) why, "" for KEPT.
        suggested: (n,) the label shown instead of a wrong one; UNKNOWN elsewhere.
        doubt: (n,) 0..1, belief that the id as it came is wrong; 0 where none came.
        plan, proposal, clusters, review: what each step made of the distinct documents;
        ``place`` (n,) is where each document is among them.
    """

    labels: Ints
    names: tuple[str, ...]
    weights: Floats
    verdicts: tuple[Verdict, ...]
    reasons: tuple[str, ...]
    suggested: Ints
    doubt: Floats
    plan: Plan
    proposal: Proposal
    clusters: Clusters
    review: Review
    place: Ints

    @property
    def flagged(self) -> Flags:
        """Documents whose id is called wrong, (n,): another one is given instead, or none."""
        return np.array([one in (Verdict.MOVED, Verdict.PRUNED) for one in self.verdicts])

    def members(self, label: int) -> Ints:
        """Rows of a cluster's documents."""
        return np.flatnonzero(self.labels == label)

    def centroids(self, vectors: Floats) -> tuple[Ints, Floats]:
        """Labels in use (u,), and the centroid (u, d) of each, of length 1: the bank's prototypes.

        Members of ``vectors`` (n, d) count by their weights.
        """
        inside = np.flatnonzero(self.labels != UNKNOWN)
        used, rows = np.unique(self.labels[inside], return_inverse=True)
        sums = np.zeros((len(used), vectors.shape[1]), np.float64)
        np.add.at(sums, rows, vectors[inside] * np.maximum(self.weights[inside], 1e-6)[:, None])
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        return used, (sums / np.maximum(length, 1e-12)).astype(np.float32)


def curate(
    documents: Documents,
    reranker: Reranker | None = None,
    progress: Phases = no_phases,
    *,
    errors: float = ERRORS,
    rounds: int = ROUNDS,
) -> Curated:
    """Run the four steps.

    A ``reranker`` judges beside the others where they doubt; its indices are those of the
    documents. ``errors`` and ``rounds`` are those of `review`. The same documents give the same
    clusters, in whatever order they come.

    Raises:
        CurationError: from `Documents`, whose parts do not fit together.
    """
    progress("plan", 0, 1)
    planned = plan(documents)
    progress("plan", 1, 1)
    rows, place = documents.distinct()
    distinct = documents.take(rows, place)
    progress("propose", 0, 1)
    everyone = np.ones(len(rows), np.float32)
    looks = tuple(look(view, distinct.labels, everyone) for view in distinct.views)
    proposal = propose(distinct, looks)
    progress("propose", 1, 1)
    progress("organize", 0, 1)
    clusters = organize(distinct, looks, proposal)
    progress("organize", 1, 1)
    progress("review", 0, rounds)
    reviewed = review(
        distinct,
        clusters,
        looks,
        _Numbered(reranker, rows) if reranker else None,
        of_phase(progress, "review"),
        errors=errors,
        rounds=rounds,
    )
    verdicts, labels, weights = _verdicts(distinct, clusters, reviewed)
    said = reasons(distinct, clusters, reviewed, labels)
    suggested = np.where([one is Verdict.MOVED for one in verdicts], labels, UNKNOWN)
    came = distinct.labels != UNKNOWN
    return Curated(
        labels=labels[place],
        names=clusters.names,
        weights=weights[place],
        verdicts=tuple(verdicts[at] for at in place),
        reasons=tuple("" if verdicts[at] is Verdict.KEPT else said[at] for at in place),
        suggested=suggested[place],
        doubt=np.where(came, 1 - reviewed.own, 0).astype(np.float32)[place],
        plan=planned,
        proposal=proposal,
        clusters=clusters,
        review=reviewed,
        place=place,
    )


def _verdicts(
    documents: Documents, clusters: Clusters, reviewed: Review
) -> tuple[list[Verdict], Ints, Floats]:
    came = documents.labels != UNKNOWN
    inside = clusters.members != UNKNOWN
    beliefs = reviewed.beliefs[:, 1:]
    best = np.where(reviewed.candidates == reviewed.best[:, None], beliefs, 0)
    best_belief = np.where(reviewed.best == UNKNOWN, 0, best.max(axis=1))
    joined = np.where(inside & (reviewed.own >= best_belief), clusters.members, reviewed.best)
    verdicts: list[Verdict] = []
    labels = np.full(len(documents), UNKNOWN)
    weights = np.zeros(len(documents), np.float32)
    for row in range(len(documents)):
        if came[row] and reviewed.wrong[row]:
            verdict, label, weight = Verdict.MOVED, reviewed.best[row], best_belief[row]
        elif reviewed.lost[row]:
            verdict, label, weight = (Verdict.PRUNED if came[row] else Verdict.LEFT), UNKNOWN, 0.0
        elif came[row]:
            verdict = Verdict.DISPUTED if reviewed.disputed[row] else Verdict.KEPT
            label, weight = clusters.members[row], reviewed.own[row]
        elif joined[row] != UNKNOWN:
            verdict, label = Verdict.ABSORBED, joined[row]
            weight = max(reviewed.own[row], best_belief[row])
        else:
            verdict, label, weight = Verdict.LEFT, UNKNOWN, 0.0
        verdicts.append(verdict)
        labels[row], weights[row] = label, weight
    return verdicts, labels, weights


@dataclass(frozen=True)
class _Numbered:
    """A reranker asked about distinct documents by their numbers among all."""

    reranker: Reranker
    rows: Ints

    def score(self, query_index: int, candidate_index: int) -> float:
        """See `Reranker`."""
        return self.reranker.score(int(self.rows[query_index]), int(self.rows[candidate_index]))
