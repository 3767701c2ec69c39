"""Part weights from a catalog's own evidence: what tells its products apart, and what their kinds.

No fixed weights suit all catalogs: colour is worth most in fashion and misleads about household
goods, identity depends on what the encoder was trained on. But a catalog has witnesses. A view of
an item's picture, or another picture of the same product, should find that product among all
(`self@1`); and the nearest other product of an item should be of its category (`category@1`). The
weights chosen are those that both agree on, unless they are hardly better than the prior, which was
fitted over catalogs left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.embedding.layout import PartWeights, picture_parts

Numbers = NDArray[np.intp]

COLOURS = (0.06, 0.12, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
IDENTITIES = (0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Weights tried, against an appearance of 1."""

PRIOR_STRENGTH = 0.05
"""What one unit of squared log distance from the prior costs, in hit rate: weights half or twice
the prior's must gain 2.4 points of self@1 and category@1 together."""

MIN_ITEMS = 50
"""Fewer items witness nothing that chance could not."""

BLOCK = 256
"""Queries compared at once: 1,000 items take 5 MB."""


@dataclass(frozen=True, eq=False)
class Witnesses:
    """What a catalog knows of its own products.

    Attributes:
        items: vectors of items with a picture, (n, dim).
        products: the number of the product that each item shows, (n,).
        categories: the number of each item's category, (n,); -1 where it has none.
        views: vectors of pictures that show items, (m, dim), encoded as items without text.
        shown: the item that each view shows, (m,).
    """

    items: Floats
    products: Numbers
    categories: Numbers
    views: Floats
    shown: Numbers


@dataclass(frozen=True)
class Weighed:
    """Weights and what speaks for them.

    Attributes:
        weights: chosen.
        items, views: how many witnesses there were; 0 views where the prior was kept unasked.
        self_at_1, category_at_1: hit rates of the witnesses by these weights, 0..1.
        prior_self_at_1, prior_category_at_1: the same by the prior.
    """

    weights: PartWeights
    items: int
    views: int
    self_at_1: float = 0.0
    category_at_1: float = 0.0
    prior_self_at_1: float = 0.0
    prior_category_at_1: float = 0.0


def weigh_parts(witnesses: Witnesses, prior: PartWeights) -> Weighed:
    """The part weights that a catalog's witnesses speak for; the prior where they are too few."""
    items, views = len(witnesses.items), len(witnesses.views)
    if items < MIN_ITEMS or not views:
        return Weighed(prior, items, 0)
    own = _ratios(prior)
    trials = [own, *product(IDENTITIES, COLOURS)]
    if not picture_parts(witnesses.items)[0].any():  # an encoder that was not trained
        trials = [(0.0, colour) for colour in (own[1], *COLOURS)]
    self_rates = _hit_rates(witnesses, trials, among_views=True)
    category_rates = _hit_rates(witnesses, trials, among_views=False)
    distances = [_squared_log_distance(trial, own) for trial in trials]
    scores = self_rates + category_rates - PRIOR_STRENGTH * np.array(distances)
    best = int(scores.argmax())
    identity, colour = trials[best]
    total = identity + 1 + colour
    weights = PartWeights(identity / total, 1 / total, colour / total, prior.text)
    return Weighed(
        weights if best else prior,
        items,
        views,
        float(self_rates[best]),
        float(category_rates[best]),
        float(self_rates[0]),
        float(category_rates[0]),
    )


def _ratios(prior: PartWeights) -> tuple[float, float]:
    """Identity and colour against the appearance, within the weights that are tried."""
    appearance = max(prior.appearance, 1e-6)
    identity = np.clip(prior.identity / appearance, 0.0, IDENTITIES[-1])
    colour = prior.colour / appearance if prior.appearance else 0.5
    return float(identity), float(np.clip(colour, COLOURS[0], COLOURS[-1]))


def _squared_log_distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    return sum(
        float(np.log(max(a, IDENTITIES[0]) / max(b, IDENTITIES[0]))) ** 2
        for a, b in zip(one, other, strict=True)
    )


def _hit_rates(
    witnesses: Witnesses, trials: list[tuple[float, float]], *, among_views: bool
) -> NDArray[np.float64]:
    """The share of hits by each of the weights, (trials,).

    A view hits if the nearest item shows its product; an item, if the nearest item of another
    product has its category.
    """
    items = picture_parts(witnesses.items)
    queries = picture_parts(witnesses.views) if among_views else items
    products = witnesses.products
    own = products[witnesses.shown] if among_views else products
    asked = np.arange(len(own))
    if not among_views:
        known = witnesses.categories
        asked = np.flatnonzero(known >= 0)
        if len(np.unique(known[asked])) < 2:
            return np.zeros(len(trials))
    hits = np.zeros(len(trials))
    for start in range(0, len(asked), BLOCK):
        some = asked[start : start + BLOCK]
        identity, appearance, colour = (
            part[some] @ item.T for part, item in zip(queries, items, strict=True)
        )
        same = own[some][:, None] == products
        for number, (of_identity, of_colour) in enumerate(trials):
            scores = of_identity * identity + appearance + of_colour * colour
            if among_views:
                nearest = scores.argmax(axis=1)
                hits[number] += same[np.arange(len(some)), nearest].sum()
            else:
                nearest = np.where(same, -np.inf, scores).argmax(axis=1)
                hits[number] += (known[nearest] == known[some]).sum()
    return hits / len(asked)
