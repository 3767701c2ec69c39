"""Hit rates with 95 % intervals, and differences of hit rates on the same photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.unseen.catalog_task import CatalogTask
from models.arrays import Doubles, Floats
from models.evaluation.metrics import HIT_RATES, relevant_counts

RESAMPLES = 2000
DEPTH = 10
RATES = ("i_hr_1", "c_hr_1", "average")
_COLUMNS = [[rate.key for rate in HIT_RATES].index(key) for key in RATES[:2]]


@dataclass(frozen=True, eq=False)
class Measured:
    """The rates of `RATES`, 0..1, or differences of them.

    Attributes:
        rates: (3,); NaN for all but C-HR@1 where no photo shows a known product.
        resampled: of so many catalogs whose products were drawn anew, (`RESAMPLES`, 3).
    """

    rates: Doubles
    resampled: Doubles

    def __sub__(self, other: Measured) -> Measured:
        """The difference on the same photos."""
        return Measured(self.rates - other.rates, self.resampled - other.resampled)

    def interval(self, rate: int) -> tuple[float, float]:
        """The 95 % interval of one of the rates."""
        low, high = np.quantile(self.resampled[:, rate], (0.025, 0.975))
        return float(low), float(high)

    @property
    def first(self) -> int:
        """The number of the rate that counts first: I-HR@1, or C-HR@1 without products."""
        return int(np.isnan(self.rates[0]))

    def report(self) -> dict[str, list[float]]:
        """Each rate that is known, with its interval."""
        return {
            name: [round(float(one), 4) for one in (self.rates[at], *self.interval(at))]
            for at, name in enumerate(RATES)
            if not np.isnan(self.rates[at])
        }


def measure(task: CatalogTask, similarity: Floats) -> Measured:
    """Hit rates of items by their similarity (queries, items), exactly searched.

    Intervals are bootstrapped over products: photos of one product are drawn together, because they
    are found or missed together. Without products, over photos. The same draws are taken for every
    similarity.
    """
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :DEPTH]
    ranked = np.take_along_axis(task.levels, order, axis=1)
    relevant = relevant_counts(task.levels)
    hits = np.stack([rate.per_query(ranked, relevant) for rate in HIT_RATES], axis=1)
    known = ~np.isnan(hits)
    hits = np.where(known, hits, 0.0)
    groups, numbers = np.unique(task.asked, return_inverse=True)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), RESAMPLES)
    weights = np.concatenate([np.ones((1, len(numbers))), draws[:, numbers]])
    means = (weights @ hits) / np.maximum(weights @ known, 1)
    rates = np.column_stack([means[:, _COLUMNS], means.mean(axis=1)])
    if not task.has_products:
        rates[:, (0, 2)] = np.nan
    return Measured(rates[0], rates[1:])


def mean_of_first(measured: Sequence[Measured]) -> tuple[float, float, float]:
    """The mean over catalogs of the rates that count first, and its 95 % interval."""
    resampled = np.mean([one.resampled[:, one.first] for one in measured], axis=0)
    low, high = np.quantile(resampled, (0.025, 0.975))
    mean = np.mean([one.rates[one.first] for one in measured])
    return float(mean), float(low), float(high)
