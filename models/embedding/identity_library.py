"""What an encoder was taught, and so how far a catalog's items can be recognised.

Identity recognition is worth much on products like those it was trained to tell apart (Pailitao-VL,
arXiv 2602.13704 §4: an absolute library, where contrast has only neighbours) and less than nothing
on others. So the identities of training are kept, and a catalog is searched by identity as far as
its items are near to some of them, and by look for the rest
(`models.embedding.layout.PartWeights`). Settling that for a catalog and not for each query or
item is ours: within one catalog some are nearer than others by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.arrays import Floats, unit
from models.embedding.layout import IDENTITY_PREFIXES, identity_part

SAMPLE = 1000
"""Items that tell as much as a whole catalog would."""

KNOWN_FROM, KNOWN_AT = (0.80, 0.68, 0.63, 0.60), (0.88, 0.80, 0.76, 0.74)
"""Median cosine to the nearest identity, by prefix, below which a catalog is unknown and above
which it is known. Of products left out of a catalog that was not, it is .91 in 128 values; of
grocery left out altogether .54 (.71, .62 and .56 in 32, 64 and 96)."""


MIN_IDENTITY_WEIGHT = 0.25
"""How much identity counts in a catalog that is unknown: what an encoder makes of it still tells
something that the look does not (decision 11)."""


@dataclass(frozen=True, eq=False)
class IdentityLibrary:
    """The identities of training.

    Attributes:
        identities: unit rows (u, 128), the mean direction of each.
        known_weight: how much identity is to count against look, 0..1, where all items are known.
    """

    identities: Floats
    known_weight: float

    def identity_weight(self, vectors: Floats) -> float:
        """How much identity counts in a catalog, `MIN_IDENTITY_WEIGHT`..``known_weight``.

        Args:
            vectors: of some or all items, (n, dim), as `models.embedding.layout.compose_item`
                makes them; those without a picture don't count.
        """
        seen = identity_part(vectors)
        seen = seen[seen.any(axis=1)][:SAMPLE]
        if not len(seen):
            return 0.0
        width = seen.shape[1]
        nearest = (seen @ unit(self.identities[:, :width]).T).max(axis=1)
        place = IDENTITY_PREFIXES.index(width)
        low, high = KNOWN_FROM[place], KNOWN_AT[place]
        known = np.clip((float(np.median(nearest)) - low) / (high - low), 0, 1)
        return max(MIN_IDENTITY_WEIGHT, float(self.known_weight * known))
