"""What the listwise network reads: features as they are, and as they stand out from the list.

A cosine of .6 is much in one catalog and little in another. So beside each feature stand its margin
over the best other candidate of the list and its distance from the list's mean in deviations, and
for the list as a whole, how the query was asked and how near its first candidates are.
"""

from __future__ import annotations

import numpy as np

from benchmarks.reranking.matches import FEATURES
from models.arrays import Floats

SIMILARITY = FEATURES.index("similarity")
WORDS, PICTURE = FEATURES.index("words"), FEATURES.index("appearance")
CONTEXT = (
    "has words",
    "has picture",
    "identity share",
    "colour share",
    "candidates",
    "first",
    "margin of the first",
    "spread",
    "density",
    "distinctness",
)
WIDTH, CONTEXT_WIDTH = 3 * len(FEATURES), len(CONTEXT)


def inputs(features: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """Candidates (…, n, WIDTH) and context (…, CONTEXT_WIDTH) of lists in retrieval order.

    NaN where nothing is known: it becomes 0 after standardising.

    Args:
        features: (…, n, FEATURES), NaN where not known.
        shares: of identity, appearance and colour, (…, 3).
    """
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(features)
        count = np.maximum(known.sum(axis=-2, keepdims=True), 1)
        filled = np.where(known, features, 0.0)
        mean = filled.sum(axis=-2, keepdims=True) / count
        squares = np.where(known, (features - mean) ** 2, 0.0).sum(axis=-2, keepdims=True)
        deviation = np.sqrt(squares / count)
        ordered = np.where(known, features, -np.inf)
        first = ordered.max(axis=-2, keepdims=True)
        at_first = ordered == first
        # Where several are first, the best other one is as good.
        alone = at_first.sum(axis=-2, keepdims=True) == 1
        second = np.where(at_first & alone, -np.inf, ordered).max(axis=-2, keepdims=True)
        margin = features - np.where(at_first, second, first)
        margin = np.where(np.isfinite(margin), margin, np.nan)
        distance = (features - mean) / np.maximum(deviation, 1e-3)
    candidates = np.concatenate([features, margin, distance], axis=-1)
    similarity = features[..., SIMILARITY]
    n = similarity.shape[-1]
    few = similarity[..., :5].mean(axis=-1)
    context = np.stack(
        [
            known[..., WORDS].any(axis=-1),
            known[..., PICTURE].any(axis=-1),
            np.broadcast_to(shares[..., 0], few.shape),
            np.broadcast_to(shares[..., 2], few.shape),
            np.full(few.shape, np.log(n) / 4),
            similarity[..., 0],
            similarity[..., 0] - few,
            deviation[..., 0, SIMILARITY],
            _or_zero(mean[..., 0, FEATURES.index("density")]),
            distance[..., 0, SIMILARITY] / 4,
        ],
        axis=-1,
    )
    return candidates.astype(np.float32), np.nan_to_num(context).astype(np.float32)


def _or_zero(values: Floats) -> Floats:
    return np.nan_to_num(values)
