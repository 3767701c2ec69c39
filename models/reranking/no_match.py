"""How probable it is that none of a list is the very product: how far NULL is from being beaten.

NULL is "none of these", compared with the candidates of each chunk (Pailitao-VL, arXiv
2602.13704v2, §5.3). The largest distance of a candidate above the NULL of its chunk tells a query
whose product is there from the same query with its product taken away better than the candidates'
probabilities do, which also fall where many products are alike: `docs/decisions` has the figures.

`SLOPE` and `BIAS` were fitted once for all, on lists of the packaged reranker by picture, by text
and by both to six catalogs, as if one query in three asked for what is not there. A model trained
by the NULL loss of the paper has numbers of its own: the loss makes the logistic function of that
distance the probability of being the product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.reranking.protocol import Ranked

SLOPE, BIAS = -0.275, 0.404
BY_LOSS = (-1.0, 0.0)
"""Slope and bias that the NULL loss stands for."""


def none_by_null(ranked: Sequence[Ranked], slope: float = SLOPE, bias: float = BIAS) -> float:
    """The probability, 0..1, by comparisons with a NULL that was learned; 1 for no candidates."""
    if not ranked:
        return 1.0
    above = max(one.comparison - one.null for one in ranked)
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, bias + slope * above))))


def none_by_probabilities(ranked: Sequence[Ranked]) -> float:
    """The probability, 0..1, by those of the candidates, taken as independent."""
    return math.prod(1.0 - one.score for one in ranked)
