"""Absolute relevance: the probability of each level, calibrated.

Stands where Pailitao-VL (arXiv 2602.13704v2, §5.4) has an MLP on hidden states with a 4-way
softmax: multinomial logistic regression on a candidate's evidence and on how far that lies above or
below the best of the others. Absolute values alone promise too much of a query that resembles
everything; without the gaps the best candidate of grocery queries was promised .23 and right in .42
of them, with the gaps .43 and .48 (clothing crops, never fitted: .59/.64 and .75/.75). r = P(level
0) is a probability, because the model is fitted without class weights on
candidates as retrieval brings them. scikit-learn fits, numpy serves.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.reranking.comparison import Doubles, fill, standardise
from models.errors import RerankerError
from models.juicer.juice import Floats
from models.evaluation.metrics import Level, Levels

UNSEEN = -20.0
"""Logit of a level that never occurred: a probability of zero, to any precision that matters."""


class LevelModel(msgspec.Struct, frozen=True, kw_only=True):
    """Fitted model: `weights` (4, 2 × features), `bias` (4,), features standardised first."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]

    def probabilities(self, evidence: Floats) -> Doubles:
        """P(level) of one list's candidates, (chunks, size, 4), each row summing to 1."""
        rows, _ = _rows(evidence)
        standard = np.nan_to_num((rows - np.array(self.mean)) / np.array(self.scale), nan=0.0)
        logits = standard @ np.array(self.weights).T + np.array(self.bias)
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities: Doubles = odds / odds.sum(axis=-1, keepdims=True)
        return probabilities


def fit_levels(evidence: Floats, levels: Levels, *, strength: float = 0.1) -> LevelModel:
    """Fit on evidence (lists, chunks, size, features) and levels (lists, chunks, size).

    Args:
        strength: inverse of the ℓ2 penalty, scikit-learn's C.

    Raises:
        RerankerError: only one level occurs, so that there is nothing to tell apart.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  serving never needs it

    rows, there = _rows(evidence)
    known, labels = rows[there], levels[there]
    occurring = np.unique(labels)
    if len(occurring) < 2:
        raise RerankerError(
            "every candidate of the fitting split has the same level; give a split whose photos "
            "show products of the catalog"
        )
    mean, scale = standardise(known)
    standard = np.nan_to_num((known - mean) / scale, nan=0.0)
    fitted = LogisticRegression(C=strength, max_iter=2000).fit(standard, labels)
    weights = np.zeros((len(Level), rows.shape[-1]))
    bias = np.full(len(Level), UNSEEN)
    if len(occurring) == 2:  # scikit-learn then keeps one row: the logit of the second level
        weights[occurring[1]], bias[occurring] = fitted.coef_[0], (0.0, fitted.intercept_[0])
    else:
        weights[occurring], bias[occurring] = fitted.coef_, fitted.intercept_
    return LevelModel(
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(tuple(row) for row in weights.tolist()),
        bias=tuple(bias.tolist()),
    )


def calibration_error(probability: Doubles, outcome: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error in 0..1 (Naeini et al. 2015), bins holding equally many.

    The mean distance between what was promised and what came true, bin by bin; 0 for no data.
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if part.size]
    gaps = [abs(probability[part].mean() - outcome[part].mean()) * part.size for part in parts]
    return float(sum(gaps) / max(order.size, 1))


def _rows(evidence: Floats) -> tuple[Doubles, NDArray[np.bool_]]:
    """Evidence beside its gap to the best other candidate of the list; and who is there.

    (..., chunks, size, features) gives (..., chunks, size, 2 × features), NaN where not known.
    """
    filled, there = fill(evidence)
    *lists, chunks, size, features = filled.shape
    flat = np.where(np.isnan(filled), -np.inf, filled).reshape(*lists, chunks * size, features)
    # A list of one has no other: -inf stands in, and the gap is not known.
    rivals = np.concatenate([flat, np.full((*lists, 1, features), -np.inf)], axis=-2)
    second, first = np.moveaxis(np.partition(rivals, -2, axis=-2)[..., -2:, :], -2, 0)
    others = np.where(flat == first[..., None, :], second[..., None, :], first[..., None, :])
    gap = filled - others.reshape(filled.shape)
    return np.concatenate([filled, np.where(np.isfinite(gap), gap, np.nan)], axis=-1), there
