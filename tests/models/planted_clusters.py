"""Planted clusters: documents around centres on the sphere, with near duplicates among them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.curation.documents import Documents, Ints, Links, View

KINDS = 4


def unit(rows: NDArray[np.float64]) -> Floats:
    scaled: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def vectors(truth: Ints, noise: float = 0.25, dim: int = 24, seed: int = 0) -> Floats:
    """Rows around one centre a label; labels 0 and 4 are near duplicates, of one kind."""
    random = np.random.default_rng(seed)
    labels = int(truth.max()) + 1
    kinds = random.normal(size=(KINDS, dim))
    centres = kinds[np.arange(labels) % KINDS] + random.normal(size=(labels, dim))
    centres[4 % labels] = centres[0] + 0.6 * random.normal(size=dim)
    return unit(centres[truth] + noise * random.normal(size=(len(truth), dim)))


def truth_of(labels: int = 16, least: int = 4, most: int = 10, seed: int = 0) -> Ints:
    random = np.random.default_rng(seed)
    return np.repeat(np.arange(labels), random.integers(least, most + 1, labels))


def leaves(labels: int) -> tuple[tuple[str, ...], ...]:
    return tuple(("top", f"kind{label % KINDS}") for label in range(labels))


def documents(given: Ints, *views: View, labels: int, links: Links | None = None) -> Documents:
    return Documents(
        labels=given,
        names=tuple(f"P-{label}" for label in range(labels)),
        views=views,
        label_categories=leaves(labels),
        links=links or Links(),
    )
