"""Learning a query map from a catalog's own pictures, in closed form.

Views of one picture show what photos change in this catalog, and items what tells its products
apart. Directions that views vary along count less (within-class covariance normalisation, Hatch et
al. 2006, each product a class), and half of what all items share is taken away. The share of
the map in the result is a half: all of it gains more where it gains, and loses on catalogs of few
products. Unlike the prototypes of training (Pailitao-VL, arXiv 2602.13704 §4) these are the items'
vectors as the index holds them: only queries are mapped (`models.embedding.query_map`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.embedding.layout import PartWeights, picture_indices, query_for_item
from models.embedding.part_weights import Numbers, Witnesses
from models.embedding.query_map import QueryMap
from models.errors import AdaptationError

RIDGE = 1.0
"""Added to the within-class variance of every axis, in units of its mean."""

CENTRING = 0.5
"""Share of the items' mean that is taken away."""

SHARE = 0.5
"""Of the learned map; the rest is no change. Over six catalogs, weighed alone .763 (I-HR@1, or
C-HR@1 where there are no identities), by this share .773, by all of it .726."""

EXAM_SHARE = 0.25
"""Products held out of the map that is examined."""

MIN_PRODUCTS = 40
"""Fewer leave an exam of less than ten products."""

SCALES = (0.0, 1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0)
"""Of cosines, tried for the likeliest probabilities: the two sides spread differently. By 0 all
items are equally likely, so that noise gains nothing by being spread less."""


@dataclass(frozen=True)
class Exam:
    """How held-out products are found by weights alone and by the map.

    Attributes:
        products, views: held out.
        before_self, after_self: views whose product comes first, 0..1.
        before_category, after_category: held-out items whose nearest item of another product has
            their category, 0..1.
        gain, error: by how much the views' products became likelier, the mean over products of the
            difference in log likelihood, and its standard error.
        category_loss, category_error: how much the last hit rate fell, and its standard error.
    """

    products: int
    views: int
    before_self: float
    after_self: float
    before_category: float
    after_category: float
    gain: float
    error: float
    category_loss: float
    category_error: float

    @property
    def passed(self) -> bool:
        """Whether the map is better by more than its error, and forgets no kinds."""
        return (
            self.gain > self.error
            and self.after_self >= self.before_self
            and self.category_loss <= self.category_error
        )


def learn_query_map(
    witnesses: Witnesses, weights: PartWeights, *, taught: NDArray[np.bool_] | None = None
) -> QueryMap:
    """Learn a query map from items and views of them.

    Args:
        witnesses: of the catalog; views are what shoppers' photos are made of.
        weights: of the parts; the map comes after them.
        taught: items whose views are learned from, (n,); all by default.
    """
    taught = np.ones(len(witnesses.items), bool) if taught is None else taught
    views = taught[witnesses.shown]
    scale = _root_weights(witnesses.items.shape[1], weights)
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    items = _weighed(witnesses.items, weights) * inverse
    seen = _weighed(witnesses.views[views], weights) * inverse
    change = (seen - items[witnesses.shown[views]]).astype(np.float64)
    within = change.T @ change / max(1, len(change))
    within /= max(np.trace(within) / np.count_nonzero(scale), 1e-12)
    identity = np.eye(len(scale))
    learned = RIDGE * np.linalg.inv(within + RIDGE * identity)
    learned = SHARE * learned + (1 - SHARE) * identity
    # Of all items: those that are not taught would stand out if the mean were only of the others.
    centre = CENTRING * items.mean(axis=0)
    matrix = inverse[:, None] * (learned - identity) * scale
    offset = -(centre @ learned) * scale
    return QueryMap(matrix.astype(np.float32), offset.astype(np.float32))


def examine(witnesses: Witnesses, weights: PartWeights, seed: int = 0) -> Exam:
    """Learn from three quarters of the products and ask by views of the others, among all.

    Raises:
        AdaptationError: fewer than `MIN_PRODUCTS` products have views.
    """
    products = np.unique(witnesses.products[witnesses.shown])
    check_products(len(products))
    rng = np.random.default_rng(seed)
    held_out = rng.permutation(products)[: max(2, round(EXAM_SHARE * len(products)))]
    taught = ~np.isin(witnesses.products, held_out)
    mapped = replace(weights, query_map=learn_query_map(witnesses, weights, taught=taught))
    asked = np.flatnonzero(~taught[witnesses.shown])
    own = witnesses.products[witnesses.shown[asked]]
    (self_before, likely_before), (self_after, likely_after) = (
        _ask(witnesses, witnesses.views[asked], own, one) for one in (weights, mapped)
    )
    gains = likely_after - likely_before
    by_product = np.array([gains[own == one].mean() for one in held_out if (own == one).any()])
    kinds = np.flatnonzero(~taught & (witnesses.categories >= 0))
    kind_before, kind_after = (_kinds(witnesses, kinds, one) for one in (weights, mapped))
    lost = kind_before - kind_after
    return Exam(
        products=len(held_out),
        views=len(asked),
        before_self=float(self_before.mean()),
        after_self=float(self_after.mean()),
        before_category=float(kind_before.mean()) if len(kinds) else 0.0,
        after_category=float(kind_after.mean()) if len(kinds) else 0.0,
        gain=float(by_product.mean()),
        error=_standard_error(by_product),
        category_loss=float(lost.mean()) if len(kinds) else 0.0,
        category_error=_standard_error(lost) if len(kinds) > 1 else 0.0,
    )


def check_products(count: int) -> None:
    """Raise AdaptationError where so few products have views that no exam can be held."""
    if count < MIN_PRODUCTS:
        raise AdaptationError(
            f"a catalog is adapted by {MIN_PRODUCTS} products with pictures or more, so that some "
            f"can be held out for an exam; there are {count}: add products, then adapt again"
        )


def _ask(
    witnesses: Witnesses, vectors: Floats, own: Numbers, weights: PartWeights
) -> tuple[Floats, Floats]:
    """Of each query, whether its product comes first (n,), and its log likelihood (n,)."""
    cosines = _cosines(witnesses, vectors, weights)
    right = own[:, None] == witnesses.products
    first = right[np.arange(len(own)), cosines.argmax(axis=1)].astype(np.float32)
    best = np.full(len(own), -np.inf, np.float32)
    for scale in SCALES:
        powers = np.exp(scale * (cosines - cosines.max(axis=1, keepdims=True)))
        shares = np.where(right, powers, 0).sum(axis=1) / powers.sum(axis=1)
        likelihood = np.log(np.maximum(shares, 1e-9))
        best = likelihood if likelihood.mean() > best.mean() else best
    return first, best


def _kinds(witnesses: Witnesses, asked: Numbers, weights: PartWeights) -> Floats:
    """Whether the nearest item of another product has an item's category, (n,)."""
    if not len(asked):
        return np.zeros(0, np.float32)
    cosines = _cosines(witnesses, witnesses.items[asked], weights)
    same = witnesses.products[asked][:, None] == witnesses.products
    nearest = np.where(same, -np.inf, cosines).argmax(axis=1)
    hits: NDArray[np.bool_] = witnesses.categories[nearest] == witnesses.categories[asked]
    return hits.astype(np.float32)


def _cosines(witnesses: Witnesses, vectors: Floats, weights: PartWeights) -> Floats:
    """Cosines of queries for these items' vectors with the pictures of all items."""
    inside = picture_indices(witnesses.items.shape[1])
    cosines: Floats = _weighed(vectors, weights) @ unit(witnesses.items[:, inside]).T
    return cosines


def _weighed(vectors: Floats, weights: PartWeights) -> Floats:
    """The picture's part (n, p) of queries for these items' vectors, of length 1."""
    inside = picture_indices(vectors.shape[1])
    rows = [unit(query_for_item(one, None, weights)[inside]) for one in vectors]
    return np.stack(rows)


def _root_weights(dim: int, weights: PartWeights) -> Floats:
    """The square root of each value's weight, (p,)."""
    ones = np.zeros(dim, np.float32)
    ones[picture_indices(dim)] = 1
    weighed = query_for_item(ones, None, replace(weights, query_map=None))
    root: Floats = np.sqrt(weighed[picture_indices(dim)])
    return root


def _standard_error(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("inf")
