"""The ways to search a catalog that was left out: single parts, fixed weights, its own evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from benchmarks.unseen.left_out import LeftOut
from benchmarks.unseen.measured import Measured, measure
from models.arrays import Floats, unit
from models.embedding.adapt import MIN_PRODUCTS, Exam
from models.embedding.adaptation import adapt_weights
from models.embedding.layout import PartWeights, picture_parts, query_for_item
from models.embedding.part_weights import COLOURS, IDENTITIES, Weighed, weigh_parts

COLOUR, IDENTITY, APPEARANCE = "colour alone", "identity alone", "appearance alone"
DEPTHS_EQUAL, BEFORE = "depths equal", "previous default (approximated)"
PRIOR, BEST_FIXED = "without evidence", "best fixed weights"
SERVED, ADAPTED, TRAINED = "served", "adapted", "trained"
ADAPTED_APART, TRAINED_APART = "adapted to other products", "trained on other products"

BEFORE_DEPTHS, BEFORE_COLOUR = (0.2, 0.3, 0.6, 1.0), 0.4
"""The previous default was an appearance of these weights, and as much identity as by the prior.
Its 256 axes damped what photos of other catalogs change, which is left out here."""

Variants = dict[str, Measured]


@dataclass(frozen=True)
class Evidence:
    """What a catalog's views say of it; no exam where it has too few products for one."""

    weighed: Weighed
    exam: Exam | None
    weights: PartWeights

    @property
    def adapted(self) -> bool:
        """Whether queries are mapped."""
        return self.weights.query_map is not None


def depth_alone(number: int) -> str:
    """The name of a variant."""
    return f"depth {number} alone"


def similarity(catalog: LeftOut, weights: PartWeights) -> Floats:
    """Cosines (queries, items) by a query's part weights."""
    queries = [query_for_item(one, None, weights) for one in catalog.queries]
    return np.stack(queries) @ catalog.items.T


def single_parts(catalog: LeftOut) -> Variants:
    """Each part of the vector alone, each depth of the network alone."""
    weights = {COLOUR: PartWeights(0, 0, 1), APPEARANCE: PartWeights(0, 1, 0)}
    if catalog.projection.identity is not None:
        weights[IDENTITY] = PartWeights(1, 0, 0)
    found = {name: _by_weights(catalog, one) for name, one in weights.items()}
    for number, depth in enumerate(catalog.features.depths, start=1):
        found[depth_alone(number)] = measure(catalog.task, _cosines(catalog, depth))
    return found


def unfitted(catalog: LeftOut) -> Variants:
    """All depths with the same weight, and what was the default before colour was a part."""
    depths = [unit(depth) for depth in catalog.features.depths]
    equal = _cosines(catalog, np.concatenate(depths, axis=1))
    old = [np.float32(one) * depth for one, depth in zip(BEFORE_DEPTHS, depths, strict=True)]
    old.append(np.float32(BEFORE_COLOUR) * unit(catalog.features.coarse_colour))
    before = _cosines(catalog, np.concatenate(old, axis=1))
    if catalog.projection.identity is not None:
        identity = picture_parts(catalog.queries)[0] @ picture_parts(catalog.items)[0].T
        share = catalog.prior.identity
        before = (1 - share) * before + share * identity
    return {DEPTHS_EQUAL: measure(catalog.task, equal), BEFORE: measure(catalog.task, before)}


def best_fixed_weights(catalogs: Sequence[LeftOut]) -> PartWeights:
    """The same weights for all catalogs that find most at rank 1, chosen by these very photos.

    No catalog can know them: they bound what fixed weights can give.
    """
    trials = [
        PartWeights(identity, 1.0, colour)
        for identity, colour in product((0.0, *IDENTITIES), (0.0, *COLOURS))
    ]
    means = np.zeros(len(trials))
    for catalog in catalogs:
        level = 0 if catalog.task.has_products else 1
        identity, appearance, colour = (
            query @ item.T
            for query, item in zip(
                picture_parts(catalog.queries), picture_parts(catalog.items), strict=True
            )
        )
        rows = np.arange(len(identity))
        for number, one in enumerate(trials):
            cosines = one.identity * identity + appearance + one.colour * colour
            means[number] += (catalog.task.levels[rows, cosines.argmax(axis=1)] <= level).mean()
    return trials[int(means.argmax())]


def by_evidence(catalog: LeftOut) -> tuple[Evidence, Variants]:
    """As served: parts weighed by the catalog's own evidence, its query map if the exam passes."""
    weighed = weigh_parts(catalog.witnesses(mild=True), catalog.prior)
    evidence = Evidence(weighed, None, weighed.weights)
    witnesses = catalog.witnesses(mild=False)
    if len(catalog.task.witnesses) >= MIN_PRODUCTS:
        weights, exam = adapt_weights(witnesses, weighed.weights)
        evidence = Evidence(weighed, exam, weights)
    served = _by_weights(catalog, weighed.weights)
    return evidence, {
        PRIOR: _by_weights(catalog, catalog.prior),
        SERVED: served,
        ADAPTED: _by_weights(catalog, evidence.weights) if evidence.adapted else served,
    }


def by_fixed_weights(catalog: LeftOut, weights: PartWeights) -> Variants:
    """The same weights as for all other catalogs."""
    if catalog.projection.identity is None:
        weights = replace(weights, identity=0.0)
    return {BEST_FIXED: _by_weights(catalog, weights)}


def _by_weights(catalog: LeftOut, weights: PartWeights) -> Measured:
    return measure(catalog.task, similarity(catalog, weights))


def _cosines(catalog: LeftOut, rows: Floats) -> Floats:
    """Cosines (queries, items) of any rows (pictures, c)."""
    queries, items = unit(rows[catalog.task.queries]), unit(rows[catalog.task.items])
    return queries @ items.T
