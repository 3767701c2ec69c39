"""Learning a query map from a catalog's own pictures, on a CPU in seconds.

Identity recognition for one shop (Pailitao-VL, arXiv 2602.13704 §4): every product is an identity,
recognised among all by softmax with a margin (ArcFace, Deng et al. 2019). The prototypes are the
items' vectors as the index holds them and do not move; beside them stand categories, whose
probability is that of all their items, so that kinds are not unlearned where only identities are
known. What is learned is an affine map of queries (`models.embedding.query_map`), started from no
change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.embedding.layout import PartWeights, picture_indices, query_for_item
from models.embedding.part_weights import Numbers, Witnesses
from models.embedding.query_map import QueryMap
from models.progress import Progress, no_progress

PASSES = 8
BATCH = 128
LEARNING_RATE = 3e-4
SCALE = 16.0
MARGIN = 0.1
"""Of the cosine, reached after half of the steps."""

CATEGORY_SHARE = 0.3
DROPOUT = 0.1
WEIGHT_DECAY = 1e-3
MAX_CLASSES = 4096
"""Items compared in a step: more are drawn anew for each step, beside those of the batch."""

EXAM_SHARE = 0.25
"""Products held out of the map that is examined."""

MIN_PRODUCTS = 40
"""Fewer leave an exam of less than ten products."""


@dataclass(frozen=True)
class Exam:
    """How held-out products' views are answered, hit rates 0..1, by weights alone and by the map.

    Attributes:
        products, views: held out.
        before_self, after_self: views whose product comes first.
        before_category, after_category: views whose first product has the category.
        gain, error: of both together, the mean and its standard error over products.
    """

    products: int
    views: int
    before_self: float
    after_self: float
    before_category: float
    after_category: float
    gain: float
    error: float

    @property
    def passed(self) -> bool:
        """Whether the map is better by more than its error."""
        return self.gain > self.error


def learn_query_map(
    witnesses: Witnesses,
    weights: PartWeights,
    *,
    taught: NDArray[np.bool_] | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> QueryMap:
    """Learn a query map from items and views of them.

    Args:
        witnesses: of the catalog; views are what shoppers' photos are made of.
        weights: of the parts; the map comes after them.
        taught: items whose views are learned from, (n,); all by default. The others are compared
            with all the same.
        seed: of the order and the dropout.
        progress: called with (steps done, all steps).
    """
    inside = picture_indices(witnesses.items.shape[1])
    items = unit(witnesses.items[:, inside])
    taught = np.ones(len(items), bool) if taught is None else taught
    shown = np.concatenate([np.flatnonzero(taught), witnesses.shown[taught[witnesses.shown]]])
    asked = np.concatenate([witnesses.items[taught], witnesses.views[taught[witnesses.shown]]])
    queries = _weighed(asked, weights)
    rng = np.random.default_rng(seed)
    width = queries.shape[1]
    fitted = _Adam([np.zeros((width, width), np.float32), np.zeros(width, np.float32)])
    steps = PASSES * -(-len(queries) // BATCH)
    for step, batch in enumerate(_batches(len(queries), rng)):
        progress(step, steps)
        classes = _classes(len(items), shown[batch], rng)
        gradients = _gradients(
            fitted.values,
            queries[batch] * _dropout(queries[batch].shape, rng),
            items[classes],
            np.searchsorted(classes, shown[batch]),
            witnesses.products[classes],
            witnesses.categories[classes],
            margin=MARGIN * min(1.0, 2 * step / steps),
        )
        fitted.step(gradients)
    progress(steps, steps)
    return QueryMap(*fitted.values)


def examine(
    witnesses: Witnesses, weights: PartWeights, seed: int = 0, progress: Progress = no_progress
) -> Exam:
    """Learn from three quarters of the products and ask by views of the others, among all."""
    products = np.unique(witnesses.products)
    rng = np.random.default_rng(seed)
    held_out = rng.permutation(products)[: max(1, round(EXAM_SHARE * len(products)))]
    taught = ~np.isin(witnesses.products, held_out)
    query_map = learn_query_map(witnesses, weights, taught=taught, seed=seed, progress=progress)
    asked = np.flatnonzero(~taught[witnesses.shown])
    before = _hits(witnesses, asked, weights)
    after = _hits(witnesses, asked, replace(weights, query_map=query_map))
    own = witnesses.products[witnesses.shown[asked]]
    change = (after - before).sum(axis=0)
    by_product = np.array([change[own == one].mean() for one in held_out if (own == one).any()])
    error = by_product.std(ddof=1) / np.sqrt(len(by_product)) if len(by_product) > 1 else np.inf
    return Exam(
        len(held_out),
        len(asked),
        float(before[0].mean()),
        float(after[0].mean()),
        float(before[1].mean()),
        float(after[1].mean()),
        float(by_product.mean()),
        float(error),
    )


def _hits(witnesses: Witnesses, asked: Numbers, weights: PartWeights) -> Floats:
    """Hits (2, views), 0 or 1: the first item shows the product, and has its category."""
    inside = picture_indices(witnesses.items.shape[1])
    items = unit(witnesses.items[:, inside])
    nearest = np.concatenate(
        [
            (_weighed(witnesses.views[some], weights) @ items.T).argmax(axis=1)
            for some in np.array_split(asked, -(-len(asked) // BATCH))
        ]
    )
    own = witnesses.shown[asked]
    same = witnesses.products[nearest] == witnesses.products[own]
    kind = same | (witnesses.categories[nearest] == witnesses.categories[own])
    return np.stack([same, kind]).astype(np.float32)


def _weighed(vectors: Floats, weights: PartWeights) -> Floats:
    """The picture's part (n, p) of queries for these items' vectors, of length 1."""
    inside = picture_indices(vectors.shape[1])
    return unit(np.stack([query_for_item(one, None, weights)[inside] for one in vectors]))


def _gradients(
    values: list[Floats],
    queries: Floats,
    items: Floats,
    targets: Numbers,
    products: Numbers,
    categories: Numbers,
    *,
    margin: float,
) -> list[Floats]:
    """The gradients of the loss of a batch by matrix and offset."""
    matrix, offset = values
    mapped = queries + queries @ matrix + offset
    length = np.sqrt((mapped * mapped).sum(axis=1, keepdims=True))
    found = mapped / length
    cosines = found @ items.T
    # Other pictures of the product are neither right nor wrong.
    own = products[targets]
    siblings = own[:, None] == products
    rows = np.arange(len(targets))
    logits = SCALE * cosines
    by_identity = np.where(siblings, -np.inf, logits)
    by_identity[rows, targets] = logits[rows, targets] - SCALE * margin
    change = _softmax(by_identity)
    change[rows, targets] -= 1
    kinds = categories[targets]
    if len(np.unique(categories)) > 1:
        share = _softmax(logits)
        alike = (kinds[:, None] == categories) & (kinds[:, None] >= 0)
        of_kind = np.maximum((share * alike).sum(axis=1, keepdims=True), 1e-6)
        change += CATEGORY_SHARE * (kinds[:, None] >= 0) * (share - share * alike / of_kind)
    by_found = (SCALE / len(targets)) * (change @ items)
    by_mapped = (by_found - (by_found * found).sum(axis=1, keepdims=True) * found) / length
    return [queries.T @ by_mapped + WEIGHT_DECAY * matrix, by_mapped.sum(axis=0)]


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _batches(count: int, rng: np.random.Generator) -> Iterator[Numbers]:
    for _ in range(PASSES):
        yield from np.array_split(rng.permutation(count), -(-count // BATCH))


def _classes(count: int, needed: Numbers, rng: np.random.Generator) -> Numbers:
    """Items to compare with, sorted: all of them, or a draw with those needed."""
    if count <= MAX_CLASSES:
        return np.arange(count)
    return np.unique(np.concatenate([needed, rng.choice(count, MAX_CLASSES, replace=False)]))


def _dropout(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    kept = rng.random(shape, np.float32) >= DROPOUT
    return kept.astype(np.float32) / np.float32(1 - DROPOUT)


class _Adam:
    """Adam (Kingma and Ba 2015) with its usual decays."""

    def __init__(self, values: list[Floats]) -> None:
        self.values = values
        self._first = [np.zeros_like(one) for one in values]
        self._second = [np.zeros_like(one) for one in values]
        self._steps = 0

    def step(self, gradients: list[Floats]) -> None:
        """Move the values against their gradients."""
        self._steps += 1
        for number, gradient in enumerate(gradients):
            first, second = self._first[number], self._second[number]
            np.add(0.9 * first, 0.1 * gradient, out=first)
            np.add(0.999 * second, 0.001 * gradient * gradient, out=second)
            length = np.sqrt(second / (1 - 0.999**self._steps)) + 1e-8
            self.values[number] -= LEARNING_RATE * (first / (1 - 0.9**self._steps)) / length
