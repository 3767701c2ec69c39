"""Propose: which documents may belong together, by three tiers of certainty (Pailitao-VL §4).

Metadata gives seeds: the observed ids, which hold until review rejects them. Behaviour gives links
between a document and an id. Inference gives pairs of documents that are mutual neighbours in a
view and nearer than that view's threshold, which is learned from the seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Documents, Ints, Links
from models.curation.neighbours import Neighbours
from models.curation.view_space import ViewSpace

POSITION_BIAS_EXPONENT = 0.5
"""Position bias: result p is examined about p^−0.5 times as often as the first (cf. Joachims et al.
2017). A click is weighted by the inverse,"""
MAX_CLICK_WEIGHT = 4.0
"""but never by more than this: a single click at position 50 may be a mistake."""
MIN_AGREEMENT = 0.5
"""Agreement of ids among pairs, relative to the best, from which a pair is inferred."""
WINDOW = 50
"""Pairs over which the agreement is averaged."""
FIRST_CLICK = 3.0
"""Nats of the first click: twenty times more likely on what the photo shows than on another."""


@dataclass(frozen=True)
class Click:
    """A click on ``label`` (or its purchase) at ``position`` (from 1) of a document's results."""

    document: int
    label: int
    position: int = 1
    count: float = 1.0


@dataclass(frozen=True, eq=False)
class Proposal:
    """Tiers one to three.

    ``seeds`` (n,) labels; ``behaviour`` links; ``left``, ``right`` and ``strength`` (m,) the
    inferred pairs and how far their cosine exceeds the view's threshold, 0..1; ``thresholds`` are
    cosines, by view.
    """

    seeds: Ints
    behaviour: Links
    left: Ints
    right: Ints
    strength: Floats
    thresholds: dict[str, float]


def behaviour_links(clicks: Iterable[Click]) -> Links:
    """Links of `FIRST_CLICK` · log₂(1 + weighted count) · share of the document's clicks, in nats.

    So the fifth click adds less than the second, and scattered clicks add little.
    """
    counts: dict[tuple[int, int], float] = defaultdict(float)
    totals: dict[int, float] = defaultdict(float)
    for click in clicks:
        weight = max(click.position, 1) ** POSITION_BIAS_EXPONENT
        weighted = click.count * min(weight, MAX_CLICK_WEIGHT)
        counts[click.document, click.label] += weighted
        totals[click.document] += weighted
    ordered = sorted(counts.items())
    return Links(
        np.array([row for (row, _), _ in ordered], np.int64),
        np.array([label for (_, label), _ in ordered], np.int64),
        np.array(
            [FIRST_CLICK * np.log2(1 + n) * n / totals[row] for (row, _), n in ordered],
            np.float32,
        ),
    )


def propose(documents: Documents, view_spaces: tuple[ViewSpace, ...]) -> Proposal:
    """Seeds, links, and the pairs inferred from each view."""
    thresholds: dict[str, float] = {}
    found: dict[tuple[int, int], float] = {}
    for view, space in zip(documents.views, view_spaces, strict=True):
        left, right, cosines = space.neighbours.edges()
        threshold = thresholds[view.name] = pair_threshold(space.neighbours, documents.labels)
        strong = cosines >= threshold
        excess = (cosines[strong] - threshold) / max(1 - threshold, 1e-6)
        for one, other, strength in zip(left[strong], right[strong], excess, strict=True):
            pair = int(one), int(other)
            found[pair] = max(found.get(pair, 0.0), float(strength))
    pairs = sorted(found)
    return Proposal(
        documents.labels,
        documents.links,
        np.array([one for one, _ in pairs], np.int64),
        np.array([other for _, other in pairs], np.int64),
        np.array([found[pair] for pair in pairs], np.float32),
        thresholds,
    )


def pair_threshold(neighbours: Neighbours, labels: Ints) -> float:
    """The cosine from which mutual neighbours agree in their ids half as often as the best do.

    Relative to the best, because wrong ids lower the agreement of true pairs as well. With ids for
    fewer than two windows of pairs it is the upper quartile of the mutual pairs. Above 1, so that
    no pair is inferred, if none is mutual or none agrees.
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
    below = np.flatnonzero(rate < MIN_AGREEMENT * best)
    below = below[below > int(np.argmax(rate))]
    last = int(below[0]) if len(below) else len(agree) - 1
    return float(cosines[known][order][last])
