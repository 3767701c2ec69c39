"""Why a document was pruned or relabelled, in words that can be checked against the pictures."""

from __future__ import annotations

import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Documents, Ints
from models.curation.organize import Clusters
from models.curation.review import OUTLIER_FROM, Review, preferences
from models.curation.view_space import NEIGHBOURS, VIEW_EVIDENCE

MIN_NATS = 0.5
"""From which a source of evidence is mentioned."""
PHRASES = {
    "behaviour": "clicks tie it to",
    "metadata": "its category is that of",
    "reranker": "the reranker prefers",
    "text": "its words fit",
}


def explanations(
    documents: Documents, clusters: Clusters, reviewed: Review, labels: Ints
) -> tuple[str, ...]:
    """One sentence for each document (n,); ``labels`` (n,) are the final ones.

    For a document that was relabelled or disputed it compares its own cluster with the best other
    one; for one that was assigned it counts the neighbours there.
    """
    here, there = (
        np.argmax(reviewed.candidates == which[:, None], axis=1)
        for which in (clusters.members, reviewed.best_other)
    )
    preferred = preferences(reviewed.evidence, reviewed.model, here, there)
    return tuple(
        _explain(documents, clusters, reviewed, row, int(labels[row]), preferred)
        for row in range(len(documents))
    )


def _explain(
    documents: Documents,
    clusters: Clusters,
    reviewed: Review,
    row: int,
    label: int,
    preferred: dict[str, Floats],
) -> str:
    own, best_other = int(clusters.members[row]), int(reviewed.best_other[row])
    none = float(reviewed.probabilities[row, 0])
    if label == UNKNOWN and documents.labels[row] != UNKNOWN and none <= OUTLIER_FROM:
        return (
            f"not like its own cluster: probability {reviewed.own[row]:.2f}; "
            "like no other one enough"
        )
    if label == UNKNOWN:
        return f"like no cluster: probability {none:.2f} that it belongs to none" + (
            f", {reviewed.own[row]:.2f} for its own" if own != UNKNOWN else ""
        )
    if documents.labels[row] == UNKNOWN:
        return _explain_assigned(clusters, reviewed, row, label)
    if best_other == UNKNOWN:
        return ""
    return "; ".join(_compare(clusters, reviewed, row, own, best_other, preferred))


def _explain_assigned(clusters: Clusters, reviewed: Review, row: int, label: int) -> str:
    at = _column(reviewed.candidates[row], label)
    probability = reviewed.probabilities[row, 1 + at]
    return "; ".join(
        [f"joined {clusters.names[label]} with probability {probability:.2f}"]
        + [
            f"{_count(one.votes[row, at])} of {NEIGHBOURS} neighbours are there by "
            f"{_view_name(one.kinds[0])}"
            for one in reviewed.evidence
            if one.votes is not None and _count(one.votes[row, at])
        ]
    )


def _compare(
    clusters: Clusters,
    reviewed: Review,
    row: int,
    own: int,
    best_other: int,
    preferred: dict[str, Floats],
) -> list[str]:
    here = _column(reviewed.candidates[row], own)
    there = _column(reviewed.candidates[row], best_other)
    name = clusters.names[best_other]
    phrases = []
    for one in reviewed.evidence:
        if one.votes is None:
            continue
        nearer = float(one.values[row, there, 1] - one.values[row, here, 1])
        if one.values[row, there, 1] or one.values[row, here, 1]:
            side = "nearer to" if nearer >= 0 else "farther from"
            view = _view_name(one.kinds[0])
            phrases.append(f"{view} {side} {name} than its own cluster by {abs(nearer):.2f}")
        votes_there, votes_here = _count(one.votes[row, there]), _count(one.votes[row, here])
        if votes_there or votes_here:
            phrases.append(f"neighbours vote {name} {votes_there}:{votes_here}")
    phrases += [
        f"{PHRASES[source]} {name}"
        for source, nats in preferred.items()
        if source in PHRASES and nats[row] >= MIN_NATS
    ]
    against = [source for source, nats in preferred.items() if nats[row] <= -MIN_NATS]
    if against:
        phrases.append(f"{' and '.join(against)} would keep it")
    return phrases or [f"probability {reviewed.own[row]:.2f} of its own cluster"]


def _view_name(kind: str) -> str:
    """The view of the first kind of evidence that a view has."""
    return kind.removesuffix(" " + VIEW_EVIDENCE[0])


def _column(candidates: Ints, label: int) -> int:
    return int(np.argmax(candidates == label))


def _count(share: float) -> int:
    """A share of the neighbours' votes as a number of neighbours."""
    return round(NEIGHBOURS * float(share))
