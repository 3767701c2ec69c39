"""Curate: plan → propose → organize → review in a row, and the result.

The result is clusters: labels and weights for training, centroids for the prototype bank, and an
explanation of everything that was changed or pruned.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Documents, Flags, Ints
from models.curation.evidence_sources import Reranker
from models.curation.explanations import explanations
from models.curation.organize import Clusters, organize
from models.curation.plan import Plan, plan
from models.curation.propose import Proposal, propose
from models.curation.review import FALSE_DISCOVERY_RATE, ROUNDS, Review, review
from models.curation.view_space import fit_view_space
from models.progress import Phases, no_phases, of_phase


class Decision(StrEnum):
    """What was decided on a document."""

    KEPT = "kept"
    """It keeps its id."""
    RELABELLED = "relabelled"
    """Its id was wrong; another one replaces it."""
    ASSIGNED = "assigned"
    """It had no id and joined a cluster."""
    PRUNED = "pruned"
    """It is unlike its own cluster, and no other one fits well enough; not used for training."""
    DISPUTED = "disputed"
    """Its id looks wrong, but sources of evidence disagree; it stays, with a low weight."""
    UNASSIGNED = "unassigned"
    """It had no id and no cluster fits."""


@dataclass(frozen=True, eq=False)
class Curated:
    """The purified clusters.

    Attributes:
        labels: (n,) numbers into ``names``; UNKNOWN for what was pruned or is unassigned.
        names: the product ids, then ``new:KEY`` of clusters without one.
        weights: (n,), 0..1: probability of the label; 0 where there is none.
        decisions: (n,) what was decided on each.
        explanations: (n,) why, "" for KEPT.
        suggested: (n,) the label that replaces a wrong one; UNKNOWN elsewhere.
        error_probability: (n,) 0..1, that the observed id is wrong; 0 where there is none.
        plan, proposal, clusters, review: the results of the steps, for distinct documents;
        ``inverse`` (n,) is the row of each document among them.
    """

    labels: Ints
    names: tuple[str, ...]
    weights: Floats
    decisions: tuple[Decision, ...]
    explanations: tuple[str, ...]
    suggested: Ints
    error_probability: Floats
    plan: Plan
    proposal: Proposal
    clusters: Clusters
    review: Review
    inverse: Ints

    @property
    def flagged(self) -> Flags:
        """Documents whose id is called wrong, (n,): it is replaced or removed."""
        return np.array([one in (Decision.RELABELLED, Decision.PRUNED) for one in self.decisions])

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
    false_discovery_rate: float = FALSE_DISCOVERY_RATE,
    rounds: int = ROUNDS,
) -> Curated:
    """Run the four steps.

    A ``reranker`` is one more source of evidence where the others are uncertain; it is given row
    numbers of the documents. ``false_discovery_rate`` and ``rounds`` are those of `review`. The
    same documents give the same clusters, in whatever order they are given.

    Raises:
        CurationError: from `Documents`, whose parts are inconsistent.
    """
    progress("plan", 0, 1)
    planned = plan(documents)
    progress("plan", 1, 1)
    rows, inverse = documents.distinct()
    distinct = documents.take(rows, inverse)
    progress("propose", 0, 1)
    ones = np.ones(len(rows), np.float32)
    view_spaces = tuple(fit_view_space(view, distinct.labels, ones) for view in distinct.views)
    proposal = propose(distinct, view_spaces)
    progress("propose", 1, 1)
    progress("organize", 0, 1)
    clusters = organize(distinct, view_spaces, proposal)
    progress("organize", 1, 1)
    progress("review", 0, rounds)
    reviewed = review(
        distinct,
        clusters,
        view_spaces,
        _DistinctReranker(reranker, rows) if reranker else None,
        of_phase(progress, "review"),
        false_discovery_rate=false_discovery_rate,
        rounds=rounds,
    )
    decisions, labels, weights = _decisions(distinct, clusters, reviewed)
    texts = explanations(distinct, clusters, reviewed, labels)
    relabelled = [one is Decision.RELABELLED for one in decisions]
    suggested = np.where(relabelled, labels, UNKNOWN)
    error = np.where(distinct.labels != UNKNOWN, 1 - reviewed.own, 0).astype(np.float32)
    return Curated(
        labels=labels[inverse],
        names=clusters.names,
        weights=weights[inverse],
        decisions=tuple(decisions[at] for at in inverse),
        explanations=tuple("" if decisions[at] is Decision.KEPT else texts[at] for at in inverse),
        suggested=suggested[inverse],
        error_probability=error[inverse],
        plan=planned,
        proposal=proposal,
        clusters=clusters,
        review=reviewed,
        inverse=inverse,
    )


def _decisions(
    documents: Documents, clusters: Clusters, reviewed: Review
) -> tuple[list[Decision], Ints, Floats]:
    """Decision, label and weight of each document."""
    labelled = documents.labels != UNKNOWN
    inside = clusters.members != UNKNOWN
    best = np.where(
        reviewed.candidates == reviewed.best_other[:, None], reviewed.probabilities[:, 1:], 0
    )
    best_other = np.where(reviewed.best_other == UNKNOWN, 0, best.max(axis=1))
    joined = np.where(inside & (reviewed.own >= best_other), clusters.members, reviewed.best_other)
    decisions: list[Decision] = []
    labels = np.full(len(documents), UNKNOWN)
    weights = np.zeros(len(documents), np.float32)
    for row in range(len(documents)):
        if labelled[row] and reviewed.relabelled[row]:
            decision, label = Decision.RELABELLED, reviewed.best_other[row]
            weight = best_other[row]
        elif reviewed.outliers[row]:
            decision = Decision.PRUNED if labelled[row] else Decision.UNASSIGNED
            label, weight = UNKNOWN, 0.0
        elif labelled[row]:
            decision = Decision.DISPUTED if reviewed.disputed[row] else Decision.KEPT
            label, weight = clusters.members[row], reviewed.own[row]
        elif joined[row] != UNKNOWN:
            decision, label = Decision.ASSIGNED, joined[row]
            weight = max(reviewed.own[row], best_other[row])
        else:
            decision, label, weight = Decision.UNASSIGNED, UNKNOWN, 0.0
        decisions.append(decision)
        labels[row], weights[row] = label, weight
    return decisions, labels, weights


@dataclass(frozen=True)
class _DistinctReranker:
    """A reranker for distinct documents, which passes on their row numbers among all."""

    reranker: Reranker
    rows: Ints

    def score(self, query_index: int, candidate_index: int) -> float:
        """See `Reranker`."""
        return self.reranker.score(int(self.rows[query_index]), int(self.rows[candidate_index]))
