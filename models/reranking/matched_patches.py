"""Which patches of a query's picture and of an item's are most alike: what late interaction saw.

For people, not for scores: `models.reranking.features` takes the mean of such cosines.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.juicer.juice import Juice

SHOWN = 4
"""Pairs that are named."""


class PatchPair(NamedTuple):
    """A patch of the query's picture, one of the item's, and the cosine of their tokens, -1..1.

    Patches are numbered as in `models.juicer.juice.Juice`.
    """

    query: int
    item: int
    cosine: float


def matched_patches(query: Juice, item: Juice, most: int = SHOWN) -> tuple[PatchPair, ...]:
    """The most alike pairs of kept patches, most alike first; each patch is in one pair at most.

    Empty where either has no picture, or another model made its tokens.
    """
    mine, other = query.tokens[:-1], item.tokens[:-1]  # the last one is no patch: the remainder
    if not len(mine) or not len(other) or mine.shape[1] != other.shape[1]:
        return ()
    cosines = mine @ other.T
    pairs = []
    for _ in range(min(most, *cosines.shape)):
        row, column = np.unravel_index(int(cosines.argmax()), cosines.shape)
        cosine = float(cosines[row, column])
        pairs.append(PatchPair(query.kept[row], item.kept[column], round(cosine, 4)))
        cosines[row, :] = cosines[:, column] = -np.inf
    return tuple(pairs)
