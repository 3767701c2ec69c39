"""Propose: which documents may belong together, by three tiers of certainty (Pailitao-VL §4).

Metadata gives seeds: the id a document came with, firm until review says otherwise. Behaviour
gives links between a document and an id. Inference gives pairs of documents that are each other's
nearest in a view, nearer than that view's threshold, which the seeds teach.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Documents, Ints, Links
from models.curation.neighbours import Neighbours
from models.curation.view_space import Look

POSITION_BIAS_EXPONENT = 0.5
"""Shoppers look at place p about p^−0.5 times as often as at the first (cf. Joachims et al. 2017);
a click further down counts that much more,"""
LOUDEST = 4.0
"""but never more than this: a lone click on place 50 may be a slip."""
AGREEMENT = 0.5
"""Share of the best agreement of ids among pairs that still makes a pair a link."""
WINDOW = 50
CLICK = 3.0
"""Nats of the first click: twenty times more likely on what the photo shows than on another."""


@dataclass(frozen=True)
class Clicked:
    """A click or purchase: ``label`` was taken at ``position`` (1 is the first) for a document."""

    document: int
    label: int
    position: int = 1
    count: float = 1.0


@dataclass(frozen=True, eq=False)
class Proposal:
    """Tiers one to three.

    ``seeds`` (n,) labels; ``behaviour`` links; ``left``, ``right`` and ``strength`` (m,) the
    inferred pairs, how near they are beyond ``thresholds``, by view, each from 0 to 1.
    """

    seeds: Ints
    behaviour: Links
    left: Ints
    right: Ints
    strength: Floats
    thresholds: dict[str, float]


def behaviour_links(clicks: Iterable[Clicked]) -> Links:
    """Links from clicks: `CLICK` · log₂(1 + damped count) · share of the document's clicks, nats.

    So the fifth click says less than the second, and a photo whose clicks scatter says little.
    """
    counts: dict[tuple[int, int], float] = defaultdict(float)
    totals: dict[int, float] = defaultdict(float)
    for click in clicks:
        heard = click.count * min(max(click.position, 1) ** POSITION_BIAS_EXPONENT, LOUDEST)
        counts[click.document, click.label] += heard
        totals[click.document] += heard
    ordered = sorted(counts.items())
    return Links(
        np.array([row for (row, _), _ in ordered], np.int64),
        np.array([label for (_, label), _ in ordered], np.int64),
        np.array(
            [CLICK * np.log2(1 + heard) * heard / totals[row] for (row, _), heard in ordered],
            np.float32,
        ),
    )


def propose(documents: Documents, looks: tuple[Look, ...]) -> Proposal:
    """Seeds, links and pairs of the documents as each view looks at them."""
    thresholds: dict[str, float] = {}
    found: dict[tuple[int, int], float] = {}
    for view, look in zip(documents.views, looks, strict=True):
        left, right, cosines = look.neighbours.edges()
        threshold = thresholds[view.name] = link_threshold(look.neighbours, documents.labels)
        strong = cosines >= threshold
        beyond = (cosines[strong] - threshold) / max(1 - threshold, 1e-6)
        for one, other, much in zip(left[strong], right[strong], beyond, strict=True):
            pair = int(one), int(other)
            found[pair] = max(found.get(pair, 0.0), float(much))
    # The order of the pairs must not depend on that of the documents more than their numbers do.
    pairs = sorted(found)
    return Proposal(
        documents.labels,
        documents.links,
        np.array([one for one, _ in pairs], np.int64),
        np.array([other for _, other in pairs], np.int64),
        np.array([found[pair] for pair in pairs], np.float32),
        thresholds,
    )


def link_threshold(neighbours: Neighbours, labels: Ints) -> float:
    """The cosine from which mutual neighbours agree in their ids half as often as the best do.

    Relative to the best, because wrong ids lower the agreement of true pairs as well. Where fewer
    than two windows of pairs have ids, it is robust instead: the upper quartile of mutual pairs.
    Above 1, so that nothing is linked, where nothing is mutual or no pair agrees.
    """
    left, right, cosines = neighbours.edges()
    known = (labels[left] != UNKNOWN) & (labels[right] != UNKNOWN)
    if not len(cosines):
        return 2.0
    if known.sum() < 2 * WINDOW:
        return float(np.quantile(cosines, 0.75))
    order = np.argsort(-cosines[known], kind="stable")
    agree = (labels[left] == labels[right])[known][order].astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(agree)])
    rate = (sums[WINDOW:] - sums[:-WINDOW]) / WINDOW
    best = rate.max()
    if best == 0:
        return 2.0
    bad = np.flatnonzero(rate < AGREEMENT * best)
    bad = bad[bad > int(np.argmax(rate))]
    last = int(bad[0]) if len(bad) else len(agree) - 1
    return float(cosines[known][order][last])
