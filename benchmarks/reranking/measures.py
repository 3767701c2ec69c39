"""What is measured of ranked lists: hit rates, classification, calibration, no match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from models.arrays import Doubles, Floats
from models.evaluation.calibration_error import calibration_error
from models.evaluation.metrics import HitRate, Level, Levels, classification

CUTS = (1, 5, 10, 15)
HIT_RATES = tuple(HitRate(level, k) for level in (Level.INSTANCE, Level.CONCEPT) for k in CUTS)
PROBABLE = 0.5
RECALL = 0.7
"""Of queries whose product was taken away, at which precision is measured."""
DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Judged:
    """Lists in a reranker's order.

    Attributes:
        levels: (n, depth).
        relevant: G of each query, (n,).
        products: that the queries show, (n,).
        levels_of: P(level) of each candidate in that order, (n, depth, 4); None where the reranker
            has no probabilities.
    """

    levels: Levels
    relevant: NDArray[np.int64]
    products: NDArray[np.intp]
    levels_of: Floats | None = None

    @property
    def hits(self) -> Doubles:
        """Whether the first candidate is the product, (n,)."""
        hits: Doubles = (self.levels[:, 0] == Level.INSTANCE).astype(np.float64)
        return hits

    def figures(self) -> dict[str, float]:
        """All measures, 0..1; `average` is that of the hit rates, as in the paper's tables."""
        rates = {
            one.key: float(np.nanmean(one.per_query(self.levels, self.relevant)))
            for one in HIT_RATES
        }
        found = {**rates, "average": float(np.mean(list(rates.values())))}
        if self.levels_of is None:
            return found
        for name, level in (("instance", Level.INSTANCE), ("concept", Level.CONCEPT)):
            probable = self.levels_of[..., : level + 1].sum(axis=-1) > PROBABLE
            scored = classification(probable, self.levels, level)
            found[f"precision_{name}"], found[f"recall_{name}"] = scored.precision, scored.recall
            found[f"f1_{name}"] = scored.f1
        first = self.levels_of[:, 0, 0].astype(np.float64)
        found["ece"] = calibration_error(first, self.hits > 0)
        found["brier"] = float(((first - self.hits) ** 2).mean())
        return found


def interval(difference: Doubles, products: NDArray[np.intp], seed: int = 0) -> tuple[float, float]:
    """95 % interval of a mean over queries; products are drawn, since their queries are alike."""
    low, high = np.quantile(_drawn(difference, products, seed), (0.025, 0.975))
    return float(low), float(high)


def mean_interval(
    differences: Sequence[Doubles], products: Sequence[NDArray[np.intp]]
) -> tuple[float, float, float]:
    """The mean over catalogs, each counting the same, with its 95 % interval as of `interval`."""
    means = [_drawn(*one, seed) for seed, one in enumerate(zip(differences, products, strict=True))]
    low, high = np.quantile(np.mean(means, axis=0), (0.025, 0.975))
    return float(np.mean([one.mean() for one in differences])), float(low), float(high)


def _drawn(difference: Doubles, products: NDArray[np.intp], seed: int) -> Doubles:
    """Means over products that are drawn with replacement, (DRAWS,)."""
    names, number = np.unique(products, return_inverse=True)
    totals = np.bincount(number, difference, len(names))
    counts = np.bincount(number, minlength=len(names))
    drawn = np.random.default_rng(seed).integers(len(names), size=(DRAWS, len(names)))
    means: Doubles = totals[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means


def no_match(there: Doubles, removed: Doubles) -> dict[str, float]:
    """How well "none of these" is told, by a probability of it, (n,) and (m,).

    Args:
        there: of queries whose product is in the list.
        removed: of queries whose product was taken away.
    """
    said = np.concatenate([there, removed]) > PROBABLE
    true = np.arange(len(said)) >= len(there)
    return no_match_by_order(there, removed) | {
        "precision": float((said & true).sum() / max(said.sum(), 1)),
        "recall": float((said & true).sum() / max(true.sum(), 1)),
    }


def no_match_by_order(there: Doubles, removed: Doubles) -> dict[str, float]:
    """The same of scores that are no probabilities, by the order that they give.

    `precision_at_recall` is where `RECALL` of the removed are found, both kinds being as many.
    """
    rank = rankdata(np.concatenate([there, removed]), method="ordinal")[len(there) :]
    area = (rank.sum() - len(removed) * (len(removed) + 1) / 2) / (len(there) * len(removed))
    return {"precision_at_recall": _precision_at_recall(there, removed), "area": float(area)}


def _precision_at_recall(there: Doubles, removed: Doubles) -> float:
    least = np.quantile(removed, 1 - RECALL)
    found, wrong = (removed >= least).mean(), (there >= least).mean()
    return float(found / (found + wrong))
