"""What calibration the evidence of other catalogs, and of the catalog itself, would give.

Both are fitted after the fact on first places, (n,) each: probabilities that were given, and
whether they were right. Nothing is fitted on what it is judged by: of other catalogs on all photos,
of the catalog itself on those of half of its products, which stand for second pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.reranking.measures import Judged
from models.arrays import Doubles
from models.evaluation.calibration_error import calibration_error
from models.reranking.catalog_shift import Answers, fit_shift

HALVINGS = 10
DRAWS = 200
TELLING = 10
"""Candidates whose probabilities tell whether the first is right."""
EACH = 60.0
"""Photos that a catalog counts as, if it has as many."""
STRENGTH = 0.5
"""Of the penalty on what differs from probabilities as they are."""
IN_CATEGORY = 50
"""Photos from which on a category is measured by itself."""


def by_others(judged: Judged, others: Sequence[Judged]) -> Doubles:
    """Probabilities of first places, calibrated on other catalogs, (n,).

    By their log odds, those that any other candidate is the product, and a constant.
    """
    rows = np.concatenate([_design(one) for one in others])
    hits = np.concatenate([one.hits for one in others])
    weights = np.concatenate(
        [np.full(len(one.hits), min(1.0, EACH / len(one.hits))) for one in others]
    )
    prior = np.array([1.0, 0.0, 0.0])

    def loss(line: Doubles) -> tuple[float, Doubles]:
        logits = rows @ line
        losses = np.logaddexp(0, logits) - hits * logits
        slope = rows.T @ (weights * (_sigmoid(logits) - hits))
        away = line - prior
        return float(weights @ losses + STRENGTH * away @ away), slope + 2 * STRENGTH * away

    return _sigmoid(_design(judged) @ minimize(loss, prior, jac=True).x)


def calibration_figures(
    given: Doubles, judged: Judged, categories: NDArray[np.str_]
) -> dict[str, float]:
    """What first places are worth whose probabilities are ``given``, (n,).

    `ece` is the calibration error, `ece_of_right` the one that right probabilities would have of so
    few photos, `brier` the Brier score; with `_siblings` they are those of `by_siblings`.
    `ece_category_max` is the error of the worst of the ``categories``, (n,), that have
    `IN_CATEGORY` photos; missing where none has.
    """
    hits = judged.hits > 0
    shifted = [by_siblings(given, judged, seed) for seed in range(HALVINGS)]
    rng = np.random.default_rng(0)
    right = [calibration_error(given, rng.random(len(given)) < given) for _ in range(DRAWS)]
    names, counts = np.unique(categories, return_counts=True)
    by_category = [
        calibration_error(given[categories == name], hits[categories == name])
        for name in names[counts >= IN_CATEGORY]
    ]
    worst = {"ece_category_max": max(by_category)} if by_category else {}
    return worst | {
        "ece": calibration_error(given, hits),
        "ece_of_right": float(np.mean(right)),
        "brier": float(((given - hits) ** 2).mean()),
        "ece_siblings": float(np.mean([calibration_error(one, hits) for one in shifted])),
        "brier_siblings": float(np.mean([((one - hits) ** 2).mean() for one in shifted])),
    }


def by_siblings(given: Doubles, judged: Judged, seed: int) -> Doubles:
    """Probabilities that each half of the products shifts for the other half, (n,)."""
    names, products = np.unique(judged.products, return_inverse=True)
    half = np.random.default_rng(seed).permutation(len(names))[products] < len(names) // 2
    hits, shifted = judged.hits > 0, np.empty(len(given))
    for known in (half, ~half):
        answers = Answers(given[known], hits[known], products[known], np.ones(int(known.sum())))
        shift = fit_shift(answers).shift if known.any() else 0.0
        shifted[~known] = _sigmoid(_log_odds(given[~known]) + shift)
    return shifted


def first_places(judged: Judged) -> Doubles:
    """The probability of each first candidate, (n,)."""
    assert judged.levels_of is not None
    return judged.levels_of[:, 0, 0].astype(np.float64)


def _design(judged: Judged) -> Doubles:
    assert judged.levels_of is not None
    odds = np.exp(_log_odds(judged.levels_of[:, :TELLING, 0].astype(np.float64)))
    others = np.log(odds[:, 1:].sum(axis=1) + 1e-3)
    return np.stack([np.log(odds[:, 0]), others, np.ones(len(odds))], axis=1)


def _log_odds(probabilities: Doubles) -> Doubles:
    p = np.clip(probabilities, 1e-4, 1 - 1e-4)
    odds: Doubles = np.log(p / (1 - p))
    return odds


def _sigmoid(x: Doubles) -> Doubles:
    result: Doubles = 1 / (1 + np.exp(-x))
    return result
