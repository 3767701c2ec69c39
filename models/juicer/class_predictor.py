"""Classes predicted from pictures, learned from the catalog's own items.

ImageNet's names fit few catalogs (decision 37), so a class is a name that the catalog's products
have themselves: a category, a colour. A linear map of the pictures' features into the names is
fitted by ridge regression, and judged by leave-one-out, which for ridge regression needs no second
fit (Allen 1974, PRESS). A name is predicted from the margin on at which the lower end of Wilson's
interval of its precision is at least `PRECISION`. A name that pictures do not predict so well is
never predicted, and new names can be as the catalog grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Doubles, Floats

PRECISION = 0.9
"""The least precision at which a name is predicted: fifteen right of fifteen, or 31 of 32."""
DEVIATIONS = 1.28
"""Of Wilson's interval: one-sided, its lower end holds in 90 % of cases. With 1, of a catalog whose
pictures hardly predict colours some were predicted by chance."""
RIDGE = 0.3
"""The penalty on the map, for features of length 1."""
NEVER = float("inf")


@dataclass(frozen=True)
class ClassTrial:
    """How well a name is predicted, by leave-one-out.

    Attributes:
        products: those that have it.
        predicted: those that it is predicted for.
        right: those of them that have it.
    """

    products: int
    predicted: int
    right: int


@dataclass(frozen=True, eq=False)
class ClassPredictor:
    """A fitted map of features (d,) into names.

    Attributes:
        names: in the order of the map's columns.
        weights: (d + 1, names); the last row is the offset.
        margins: (names,) over the second best name from which each is predicted; `NEVER` for none.
        trials: what was found for each name.
    """

    names: tuple[str, ...]
    weights: Floats
    margins: Floats
    trials: tuple[ClassTrial, ...]

    def predict(self, features: Floats) -> list[str | None]:
        """The name of each row of features (n, d); None where it cannot be predicted."""
        best, margin = _best(_with_offset(features) @ self.weights)
        sure = margin >= self.margins[best]
        return [
            self.names[at] if predicted and np.any(row) else None
            for at, predicted, row in zip(best, sure, features, strict=True)
        ]


def fit_classes(features: Floats, names: Sequence[str]) -> ClassPredictor | None:
    """The classes that products teach; None where none of their names can be predicted.

    Args:
        features: (n, d), each of length 1, of one picture of each product.
        names: of the products; each is one class.
    """
    known = tuple(sorted(set(names)))
    if len(known) < 2:
        return None
    column = {name: at for at, name in enumerate(known)}
    truth = np.array([column[name] for name in names], np.intp)
    rows = _with_offset(features).astype(np.float64)
    wanted = np.eye(len(known))[truth]
    inverse = np.linalg.inv(rows.T @ rows + RIDGE * np.eye(rows.shape[1]))
    weights = inverse @ rows.T @ wanted
    leverage = np.einsum("ij,jk,ik->i", rows, inverse, rows)
    left_out = wanted - (wanted - rows @ weights) / (1 - leverage)[:, None]
    margins, trials = _calibrate(left_out, truth)
    if not any(one.predicted for one in trials):
        return None
    return ClassPredictor(known, weights.astype(np.float32), margins, trials)


def _calibrate(scores: Floats, truth: NDArray[np.intp]) -> tuple[Floats, tuple[ClassTrial, ...]]:
    """The margins from which names are predicted, and what was found for each."""
    best, margin = _best(scores)
    margins = np.full(scores.shape[1], NEVER, np.float32)
    trials = []
    for name in range(scores.shape[1]):
        rows = np.flatnonzero(best == name)
        rows = rows[np.argsort(-margin[rows], kind="stable")]
        right = np.cumsum(truth[rows] == name)
        enough = np.flatnonzero(_lower_end(right, np.arange(1, len(rows) + 1)) >= PRECISION)
        predicted = int(enough[-1]) + 1 if len(enough) else 0
        if predicted:
            margins[name] = margin[rows[predicted - 1]]
        trials.append(
            ClassTrial(
                int((truth == name).sum()), predicted, int(right[predicted - 1]) if predicted else 0
            )
        )
    return margins, tuple(trials)


def _best(scores: Floats) -> tuple[NDArray[np.intp], Floats]:
    """The best name of each row, and by how much it is ahead of the second."""
    ordered = np.sort(scores, axis=1)
    return scores.argmax(axis=1), ordered[:, -1] - ordered[:, -2]


def _lower_end(right: NDArray[np.intp], cases: NDArray[np.intp]) -> Doubles:
    """The lower end of Wilson's interval (1927) of a share."""
    share, square = right / cases, DEVIATIONS**2
    spread = DEVIATIONS * np.sqrt(share * (1 - share) / cases + square / (4 * cases**2))
    lower: Doubles = (share + square / (2 * cases) - spread) / (1 + square / cases)
    return lower


def _with_offset(features: Floats) -> Floats:
    return np.concatenate([features, np.ones((len(features), 1), features.dtype)], axis=1)
