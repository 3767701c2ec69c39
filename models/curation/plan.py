"""Plan: counts of the documents, and which tiers of certainty apply (Pailitao-VL §4).

Tier 1 is metadata (ids, category paths), tier 2 behaviour (clicks and purchases), tier 3 inference
(pairs that are near in a view).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.curation.documents import UNKNOWN, Documents


@dataclass(frozen=True)
class Plan:
    """Counts of what is to be curated.

    Attributes:
        documents: all; ``duplicates`` of them repeat another exactly.
        labelled: documents with an id; ``labels`` are the ids in use, ``singletons`` those with one
            document, whose id only other clusters can contradict.
        views: share of the documents that have each view, 0..1.
        categories: documents with a category path of their own.
        links: pairs of a document and an id from behaviour.
        tiers: which of "metadata", "behaviour" and "inference" apply.
    """

    documents: int
    duplicates: int
    labelled: int
    labels: int
    singletons: int
    views: dict[str, float]
    categories: int
    links: int
    tiers: tuple[str, ...]


def plan(documents: Documents) -> Plan:
    """Count."""
    given = documents.labels[documents.labels != UNKNOWN]
    sizes = np.bincount(given, minlength=1)
    tiers = {
        "metadata": bool(len(given)),
        "behaviour": bool(len(documents.links)),
        "inference": len(documents) > 2,
    }
    return Plan(
        documents=len(documents),
        duplicates=len(documents) - len(documents.distinct()[0]),
        labelled=len(given),
        labels=int((sizes > 0).sum()),
        singletons=int((sizes == 1).sum()),
        views={view.name: float(view.present.mean()) for view in documents.views},
        categories=sum(map(bool, documents.categories)),
        links=len(documents.links),
        tiers=tuple(tier for tier, applies in tiers.items() if applies),
    )
