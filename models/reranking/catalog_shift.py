"""A catalog's own calibration: how far its log odds are from those that a reranker learned.

Probabilities are learned from other catalogs, and a new one is easier or harder than they are: its
products are more alike, or its pictures more like each other. One number corrects most of that. It
is added to the log odds of all candidates, so that their order stays, and another to those of
"none of these". Where it comes from is evidence of the catalog itself, see
`workers.evidence.calibrate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays import Doubles
from models.reranking.protocol import Ranked

DEVIATION = 0.5
"""Prior standard deviation of a shift, which has mean 0; .35 to 1 measured the same."""
FOLDS = 5
ROUNDS = 50
"""Of Newton's method, at most."""
LEAST = 1e-6
"""Probabilities this close to 0 and 1 count as that."""

Numbers = NDArray[np.intp]


class CatalogShift(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to log odds: of being the very product, and of none being it."""

    instance: float = 0.0
    none: float = 0.0

    def of_list(self, ranked: Sequence[Ranked]) -> list[Ranked]:
        """The list with shifted probabilities, in the same order."""
        if not self.instance:
            return list(ranked)
        return [_shifted(one, self.instance) for one in ranked]

    def of_none(self, probability: float) -> float:
        """The shifted probability that it is none."""
        return shifted(probability, self.none) if self.none else probability


NO_SHIFT = CatalogShift()
"""Without evidence."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities that were given, and what was true.

    Attributes:
        given: 0..1, (n,).
        true: (n,).
        products: the number of the product that was asked for, (n,).
        weights: how much each counts, (n,).
    """

    given: Doubles
    true: NDArray[np.bool_]
    products: Numbers
    weights: Doubles

    def brier(self, shifts: Doubles | float) -> float:
        """The Brier score with some shifts, 0..1."""
        p = 1 / (1 + np.exp(-(_log_odds(self.given) + shifts)))
        return float((self.weights * (p - self.true) ** 2).sum() / self.weights.sum())

    def of(self, chosen: NDArray[np.bool_]) -> Answers:
        """Some of them."""
        return Answers(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class FittedShift:
    """A shift, and what speaks for it: Brier scores of held-out products with and without it."""

    shift: float
    brier: float
    prior_brier: float


def fit_shift(answers: Answers) -> FittedShift:
    """The shift that answers, at least one, speak for; few of them move it little from 0.

    It stays there where held-out products are not better off with a shift.
    """
    fold = np.unique(answers.products, return_inverse=True)[1] % FOLDS
    held_out = np.zeros(len(fold))
    for number in np.unique(fold):
        held_out[fold == number] = _fit(answers.of(fold != number))
    brier, prior = answers.brier(held_out), answers.brier(0.0)
    return FittedShift(_fit(answers), brier, prior) if brier < prior else _kept(prior)


def _kept(brier: float) -> FittedShift:
    return FittedShift(0.0, brier, brier)


def shifted(probability: float, shift: float) -> float:
    """A probability, its log odds shifted; 0 and 1 stay as they are."""
    odds = probability * float(np.exp(shift))
    return odds / (odds + (1 - probability))


def _fit(answers: Answers) -> float:
    """The most probable shift, by Newton's method."""
    logits, shift = _log_odds(answers.given), 0.0
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(-(logits + shift)))
        slope = float((answers.weights * (p - answers.true)).sum()) + shift / DEVIATION**2
        curvature = float((answers.weights * p * (1 - p)).sum()) + 1 / DEVIATION**2
        step = float(np.clip(slope / curvature, -1.0, 1.0))
        shift -= step
        if abs(step) < 1e-9:
            break
    return shift


def _log_odds(probabilities: Doubles) -> Doubles:
    p = np.clip(probabilities, LEAST, 1 - LEAST)
    odds: Doubles = np.log(p / (1 - p))
    return odds


def _shifted(ranked: Ranked, shift: float) -> Ranked:
    instance, *others = ranked.probabilities
    score = shifted(instance, shift)
    rest = (1 - score) / (1 - instance) if instance < 1 else 0.0
    probabilities = (score, *(one * rest for one in others))
    return replace(
        ranked,
        score=score,
        level=max(range(len(probabilities)), key=probabilities.__getitem__),
        probabilities=probabilities,
    )
