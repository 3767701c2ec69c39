"""A power law of recall by the number of prototypes (Pailitao-VL §4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PowerLaw:
    """recall ≈ factor · prototypes^exponent, fitted in logarithms; ``r2`` of that fit."""

    factor: float
    exponent: float
    r2: float

    def __call__(self, prototypes: float) -> float:
        """The expected recall."""
        return float(self.factor * prototypes**self.exponent)


def fit_power_law(prototypes: Sequence[int], recall: Sequence[float]) -> PowerLaw:
    """Least squares of log recall on log prototypes, of three different counts or more."""
    x, y = np.log(prototypes), np.log(recall)
    exponent, intercept = np.polyfit(x, y, 1)
    residual = y - (exponent * x + intercept)
    spread = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - float(residual @ residual) / spread if spread else 0.0
    return PowerLaw(float(np.exp(intercept)), float(exponent), r2)


def counts_up_to(identities: int, least: int = 250) -> list[int]:
    """Doubling counts from ``least``, and all identities."""
    counts = []
    while least < 0.75 * identities:
        counts.append(least)
        least *= 2
    return [*counts, identities]
