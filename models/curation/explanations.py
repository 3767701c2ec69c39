"""Why a member was pruned or moved, in words that a merchandiser can check against the pictures."""

from __future__ import annotations

import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Documents, Ints
from models.curation.organize import Clusters
from models.curation.review import LOST, Review, preferences
from models.curation.view_space import KINDS, NEIGHBOURS

LEAST = 0.5
"""Nats from which a judge is mentioned."""
IN_WORDS = {
    "behaviour": "clicks tie it to",
    "metadata": "its category is that of",
    "reranker": "the reranker prefers",
    "text": "its words fit",
}


def reasons(
    documents: Documents, clusters: Clusters, reviewed: Review, labels: Ints
) -> tuple[str, ...]:
    """One sentence for each document (n,); ``labels`` (n,) are what they end with.

    For a member that moved or is doubted it compares the cluster it came in with the best other
    one; for what was absorbed, how many neighbours are there.
    """
    here, there = (
        np.argmax(reviewed.candidates == which[:, None], axis=1)
        for which in (clusters.members, reviewed.best)
    )
    prefer = preferences(reviewed.testimonies, reviewed.belief, here, there)
    return tuple(
        _sentence(documents, clusters, reviewed, row, int(labels[row]), prefer)
        for row in range(len(documents))
    )


def _sentence(
    documents: Documents,
    clusters: Clusters,
    reviewed: Review,
    row: int,
    label: int,
    prefer: dict[str, Floats],
) -> str:
    own, best = int(clusters.members[row]), int(reviewed.best[row])
    none = float(reviewed.beliefs[row, 0])
    if label == UNKNOWN and documents.labels[row] != UNKNOWN and none <= LOST:
        return f"not like its own cluster: belief {reviewed.own[row]:.2f}; like no other one enough"
    if label == UNKNOWN:
        return f"like no cluster: belief {none:.2f} that it belongs to none" + (
            f", {reviewed.own[row]:.2f} in its own" if own != UNKNOWN else ""
        )
    if documents.labels[row] == UNKNOWN:
        at = _column(reviewed.candidates[row], label)
        return "; ".join(
            [f"joined {clusters.names[label]} with belief {reviewed.beliefs[row, 1 + at]:.2f}"]
            + [
                f"{_count(one.votes[row, at])} of {NEIGHBOURS} neighbours are there by "
                f"{one.kinds[0].removesuffix(' ' + KINDS[0])}"
                for one in reviewed.testimonies
                if one.votes is not None and _count(one.votes[row, at])
            ]
        )
    if best == UNKNOWN:
        return ""
    return "; ".join(_comparison(clusters, reviewed, row, own, best, prefer))


def _comparison(
    clusters: Clusters,
    reviewed: Review,
    row: int,
    own: int,
    best: int,
    prefer: dict[str, Floats],
) -> list[str]:
    here = _column(reviewed.candidates[row], own)
    there = _column(reviewed.candidates[row], best)
    name = clusters.names[best]
    said = []
    for one in reviewed.testimonies:
        if one.votes is None:
            continue
        view = one.kinds[0].removesuffix(" " + KINDS[0])
        nearer = float(one.evidence[row, there, 1] - one.evidence[row, here, 1])
        if one.evidence[row, there, 1] or one.evidence[row, here, 1]:
            side = "nearer to" if nearer >= 0 else "farther from"
            said.append(f"{view} {side} {name} than its own cluster by {abs(nearer):.2f}")
        theirs, ours = _count(one.votes[row, there]), _count(one.votes[row, here])
        if theirs or ours:
            said.append(f"neighbours vote {name} {theirs}:{ours}")
    said += [
        f"{IN_WORDS[judge]} {name}"
        for judge, by in prefer.items()
        if judge in IN_WORDS and by[row] >= LEAST
    ]
    against = [judge for judge, by in prefer.items() if by[row] <= -LEAST]
    if against:
        said.append(f"{' and '.join(against)} would keep it")
    return said or [f"belief {reviewed.own[row]:.2f} in its own cluster"]


def _column(candidates: Ints, label: int) -> int:
    return int(np.argmax(candidates == label))


def _count(share: float) -> int:
    """A share of the neighbours' votes as so many of them."""
    return round(NEIGHBOURS * float(share))
