"""Two systems asked the same queries: the difference, and how much of it is chance."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
Numbers = NDArray[np.intp]

ERRORS = 2.0
"""Standard errors beyond which a difference is taken for one: chance alone exceeds them once in
twenty."""


class Outcome(StrEnum):
    """What a comparison says of the second system."""

    BETTER = "better"
    WORSE = "worse"
    EQUAL = "equal"
    """No difference beyond chance."""


@dataclass(frozen=True)
class Paired:
    """Hit rates of two systems on the same queries.

    Attributes:
        queries: how many.
        products: whose queries they are; those of one product say much the same.
        first, second: hit rates, 0..1.
        error: standard error of their difference, over products; infinite for fewer than two.
    """

    queries: int
    products: int
    first: float
    second: float
    error: float

    @property
    def difference(self) -> float:
        """What the second one gains, -1..1."""
        return self.second - self.first

    @property
    def outcome(self) -> Outcome:
        """Whether the difference is more than chance."""
        if abs(self.difference) <= ERRORS * self.error:
            return Outcome.EQUAL
        return Outcome.BETTER if self.difference > 0 else Outcome.WORSE


def paired(first: Hits, second: Hits, products: Numbers) -> Paired:
    """Compare two systems.

    Args:
        first, second: whether each query was answered rightly, (k,), at least one.
        products: whose query each is, (k,).
    """
    change = second.astype(float) - first
    _, groups = np.unique(products, return_inverse=True)
    gains = np.bincount(groups, change / len(change))
    count = len(gains)
    error = float(gains.std(ddof=1) * np.sqrt(count)) if count > 1 else float("inf")
    return Paired(len(change), count, float(first.mean()), float(second.mean()), error)
