"""Classes that a catalog's own items teach: what a picture tells of what its product does not say.

ImageNet's names fit few catalogs (decision 37), so a class is a name that the catalog's products
have themselves: a category, a colour. A linear map of the pictures' features into the names is
fitted by ridge regression, and each product is then told by the others (leave-one-out, which for
ridge regression needs no second fit: Allen 1974, PRESS). A name is told from the margin on at which
it was right in so many of those cases that its precision is at least `PRECISION`, by the lower end
of Wilson's interval. A catalog that cannot tell a name keeps silent about it, and new names can be
told as the catalog grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Doubles, Floats

PRECISION = 0.9
"""The least precision at which a name is told: fifteen right of fifteen, or 31 of 32."""
DEVIATIONS = 1.28
"""Of Wilson's interval: one-sided, its lower end holds in 90 % of cases. With 1, of a catalog whose
pictures hardly tell colours some were told by chance."""
RIDGE = 0.3
"""The penalty on the map, for features of length 1."""
NEVER = float("inf")


@dataclass(frozen=True)
class ToldName:
    """How well a name is told, by leave-one-out.

    Attributes:
        products: those that have it.
        told: those that it is told of.
        right: those of them that have it.
    """

    products: int
    told: int
    right: int


@dataclass(frozen=True, eq=False)
class OwnClasses:
    """A fitted map of features (d,) into names.

    Attributes:
        names: in the order of the map's columns.
        weights: (d + 1, names); the last row is the offset.
        margins: (names,) over the second best name from which each is told; `NEVER` for none.
        trials: what was found for each name.
    """

    names: tuple[str, ...]
    weights: Floats
    margins: Floats
    trials: tuple[ToldName, ...]

    def tell(self, features: Floats) -> list[str | None]:
        """The name of each row of features (n, d); None where it cannot be told."""
        best, margin = _best(_with_offset(features) @ self.weights)
        sure = margin >= self.margins[best]
        return [
            self.names[at] if told and np.any(row) else None
            for at, told, row in zip(best, sure, features, strict=True)
        ]


def learn_classes(features: Floats, names: Sequence[str]) -> OwnClasses | None:
    """The classes that products teach; None where none of their names can be told.

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
    if not any(one.told for one in trials):
        return None
    return OwnClasses(known, weights.astype(np.float32), margins, trials)


def _calibrate(scores: Floats, truth: NDArray[np.intp]) -> tuple[Floats, tuple[ToldName, ...]]:
    """The margins from which names are told, and what was found for each."""
    best, margin = _best(scores)
    margins = np.full(scores.shape[1], NEVER, np.float32)
    trials = []
    for name in range(scores.shape[1]):
        rows = np.flatnonzero(best == name)
        rows = rows[np.argsort(-margin[rows], kind="stable")]
        right = np.cumsum(truth[rows] == name)
        enough = np.flatnonzero(_lower_end(right, np.arange(1, len(rows) + 1)) >= PRECISION)
        told = int(enough[-1]) + 1 if len(enough) else 0
        if told:
            margins[name] = margin[rows[told - 1]]
        trials.append(
            ToldName(int((truth == name).sum()), told, int(right[told - 1]) if told else 0)
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
