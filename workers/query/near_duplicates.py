"""Near duplicates: products whose pictures are the same but for size, compression or a margin.

Several sellers show one thing with the maker's picture. Titles differ, so only the picture's part
of the vector is compared, where the encoder has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from models.arrays import Floats, unit
from models.embedding.layout import picture_indices
from workers.query.rerank import RankedHit

SAME_COSINE = 0.97
"""From this cosine on two pictures are the same.

Of the pictures of three catalogs (grocery, apc, demo_merch) none is as near to that of another
product, of a fashion shop's with variants of one garment (venia) one in twenty. Of copies at JPEG
quality 50 or 300 px long nearly all are, of those at half the size or in a margin three in four.
"""
NAMED = 20
"""How many of the products that collapsed into one are named."""


@dataclass(eq=False)
class Collapsed:
    """The best of some near duplicates, and the products that collapsed into it."""

    best: RankedHit
    others: list[str] = field(default_factory=list)


def collapse(ranked: Sequence[RankedHit], has_parts: bool) -> list[Collapsed]:
    """Each ranked hit with those that come after it and show the same; items have vectors."""
    kept: list[Collapsed] = []
    seen: Floats | None = None
    for one in ranked:
        vector = _picture(one, has_parts)
        if seen is not None and vector.any():
            cosines = seen[: len(kept)] @ vector
            nearest = int(cosines.argmax())
            if cosines[nearest] >= SAME_COSINE:
                kept[nearest].others.append(one.hit.item.product_id)
                continue
        if seen is None:
            seen = np.zeros((len(ranked), len(vector)), np.float32)
        seen[len(kept)] = vector
        kept.append(Collapsed(one))
    return kept


def _picture(one: RankedHit, has_parts: bool) -> Floats:
    """What of an item's vector says how it looks, of length 1; zeros without a picture."""
    vector = one.hit.item.vector
    assert vector is not None  # noqa: S101 - asked for with vectors
    return unit(vector[picture_indices(len(vector))]) if has_parts else vector
