"""Part weights from a catalog's own evidence: what tells its products apart, and what their kinds.

No fixed weights suit all catalogs: colour is worth most in fashion and misleads about household
goods, identity depends on what the encoder was trained on. But a catalog has witnesses. A view of
an item's picture should find its product among all, and so should an item where the product has
another picture (`self@1`); and the nearest other product of an item should be of its category
(`category@1`). The weights chosen are those that both agree on, if they are clearly better than the
prior, which was fitted over catalogs left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.embedding.layout import PartWeights, picture_parts

Numbers = NDArray[np.intp]
Mask = NDArray[np.bool_]
Trials = Sequence[tuple[float, float]]

COLOURS = (0.06, 0.12, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
IDENTITIES = (0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Weights tried, against an appearance of 1."""

PRIOR_STRENGTH, LESS_COLOUR_STRENGTH = 0.05, 0.2
"""What one unit of squared log distance from the prior costs, in hit rate: weights half or twice
the prior's must gain 2.4 points of self@1 and category@1 together, half the colour 9.6. Views wrong
colour: part of a dress has other colours than all of it, and photos of clothes seldom differ
so. At .05 the views of `venia` lower its colour, and 8 of its 129 photos lose their product."""

ERRORS = 3.0
"""Standard errors, over products, by which weights must be better than the prior: the best of 73 is
better by two of them by chance alone."""

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


@dataclass(frozen=True)
class _Answers:
    """How witnesses were answered.

    Attributes:
        hits: whether rightly by each of the weights, (trials, k).
        products: whose witnesses they are, (k,).
    """

    hits: Mask
    products: Numbers

    @property
    def rates(self) -> NDArray[np.float64]:
        """Hit rates by each of the weights, (trials,); 0 without witnesses."""
        rates: NDArray[np.float64] = self.hits.sum(axis=1) / max(1, self.hits.shape[1])
        return rates


def weigh_parts(witnesses: Witnesses, prior: PartWeights) -> Weighed:
    """The part weights that a catalog's witnesses speak for; the prior where they are too few."""
    items, views = len(witnesses.items), len(witnesses.views)
    if items < MIN_ITEMS or not views:
        return Weighed(prior, items, 0)
    own = _ratios(prior)
    trials = [own, *product(IDENTITIES, COLOURS)]
    if not picture_parts(witnesses.items)[0].any():  # an encoder that was not trained
        trials = [(0.0, colour) for colour in (own[1], *COLOURS)]
    of_products = _product_hits(witnesses, trials)
    of_kinds = _category_hits(witnesses, trials)
    costs = np.array([_prior_cost(trial, own) for trial in trials])
    scores = of_products.rates + of_kinds.rates - costs
    best = int(scores.argmax())
    gain, error = _gain(best, of_products, of_kinds)
    if gain <= ERRORS * error:
        best = 0
    identity, colour = trials[best]
    total = identity + 1 + colour
    weights = PartWeights(
        identity / total, 1 / total, colour / total, prior.text, words=prior.words
    )
    return Weighed(
        weights if best else prior,
        items,
        views,
        float(of_products.rates[best]),
        float(of_kinds.rates[best]),
        float(of_products.rates[0]),
        float(of_kinds.rates[0]),
    )


def _gain(best: int, *answers: _Answers) -> tuple[float, float]:
    """What the hit rates together gain over the prior's, and its standard error over products."""
    products = 1 + max(one.products.max(initial=0) for one in answers)
    gains = np.zeros(products)
    for one in answers:
        change = one.hits[best].astype(float) - one.hits[0]
        gains += np.bincount(one.products, change / max(1, len(change)), products)
    return float(gains.sum()), float(gains.std(ddof=1) * np.sqrt(products))


def _ratios(prior: PartWeights) -> tuple[float, float]:
    """Identity and colour against the appearance, within the weights that are tried."""
    appearance = max(prior.appearance, 1e-6)
    identity = np.clip(prior.identity / appearance, 0.0, IDENTITIES[-1])
    colour = prior.colour / appearance if prior.appearance else 0.5
    return float(identity), float(np.clip(colour, COLOURS[0], COLOURS[-1]))


def _prior_cost(trial: tuple[float, float], prior: tuple[float, float]) -> float:
    """What weights cost for being others than the prior, in hit rate."""
    identity, colour = (
        float(np.log(max(one, IDENTITIES[0]) / max(other, IDENTITIES[0])))
        for one, other in zip(trial, prior, strict=True)
    )
    of_colour = PRIOR_STRENGTH if colour > 0 else LESS_COLOUR_STRENGTH
    return PRIOR_STRENGTH * identity**2 + of_colour * colour**2


def _product_hits(witnesses: Witnesses, trials: Trials) -> _Answers:
    """Whether a view, or an item with another picture, finds its product first."""
    items, products = picture_parts(witnesses.items), witnesses.products
    shown = products[witnesses.shown]
    by_views = _hits(
        trials,
        picture_parts(witnesses.views),
        items,
        np.arange(len(shown)),
        right=lambda some: shown[some][:, None] == products,
    )
    _, number, pictures = np.unique(products, return_inverse=True, return_counts=True)
    siblings = np.flatnonzero(pictures[number] > 1)
    by_siblings = _hits(
        trials,
        items,
        items,
        siblings,
        right=lambda some: products[some][:, None] == products,
        barred=lambda some: some[:, None] == np.arange(len(products)),
    )
    return _Answers(
        np.concatenate([by_views, by_siblings], axis=1),
        np.concatenate([shown, products[siblings]]),
    )


def _category_hits(witnesses: Witnesses, trials: Trials) -> _Answers:
    """Whether the nearest item of another product has an item's category."""
    items, products = picture_parts(witnesses.items), witnesses.products
    known = witnesses.categories
    asked = np.flatnonzero(known >= 0)
    if len(np.unique(known[asked])) < 2:
        asked = asked[:0]
    hits = _hits(
        trials,
        items,
        items,
        asked,
        right=lambda some: known[some][:, None] == known,
        barred=lambda some: products[some][:, None] == products,
    )
    return _Answers(hits, products[asked])


def _hits(
    trials: Trials,
    queries: Sequence[Floats],
    items: Sequence[Floats],
    asked: Numbers,
    *,
    right: Callable[[Numbers], Mask],
    barred: Callable[[Numbers], Mask] | None = None,
) -> Mask:
    """Which queries find first what is right, by each of the weights, (trials, k).

    Args:
        trials: weights of identity and colour, against an appearance of 1.
        queries, items: identities, appearances and colours, (m, w) and (n, w) each.
        asked: which of the queries count, (k,).
        right: the items that are right for some queries, (some, n).
        barred: the items that they cannot find.
    """
    hits = np.zeros((len(trials), len(asked)), bool)
    for start in range(0, len(asked), BLOCK):
        some = asked[start : start + BLOCK]
        identity, appearance, colour = (
            query[some] @ item.T for query, item in zip(queries, items, strict=True)
        )
        if barred is not None:
            appearance[barred(some)] = -np.inf
        found, rows = right(some), np.arange(len(some))
        for number, (of_identity, of_colour) in enumerate(trials):
            scores = of_identity * identity + appearance + of_colour * colour
            hits[number, start : start + BLOCK] = found[rows, scores.argmax(axis=1)]
    return hits
