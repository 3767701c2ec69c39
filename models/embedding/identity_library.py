"""The identity library: the products of training, and how well a catalog's domain matches them.

Identity recognition gains much on products like those that it was trained to tell apart
(Pailitao-VL, arXiv 2602.13704 §4: an absolute library, where contrast has only neighbours) and
loses on others. So the identities of training are kept, and in a catalog identity weighs as much as
its items are near to some of them; appearance and colour have the rest
(`models.embedding.layout.PartWeights`). Deciding that for a catalog and not for each query or item
is ours: within one catalog some are nearer than others by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.arrays import Floats, unit
from models.embedding.layout import PRIOR_IDENTITY, identity_part

SAMPLE = 1000
"""Items that suffice to estimate a whole catalog's domain match."""

DOMAIN_MATCH_FROM, DOMAIN_MATCH_FULL = (0.80, 0.68, 0.63, 0.60), (0.88, 0.80, 0.76, 0.74)
"""Median cosine to the nearest identity, by prefix, at which a catalog's domain begins to match and
at which it matches wholly. Of held-out products of a training catalog it is .91 in 128 values; of
grocery as a held-out catalog .54 (.71, .62 and .56 in 32, 64 and 96)."""

MIN_IDENTITY_WEIGHT = PRIOR_IDENTITY
"""Where the domain does not match: identity still adds something to appearance (decision 11)."""


@dataclass(frozen=True, eq=False)
class IdentityLibrary:
    """The identities of training.

    Attributes:
        identities: unit rows (u, 128), the mean direction of each.
        known_weight: the identity weight, 0..1, in a catalog whose domain matches wholly.
    """

    identities: Floats
    known_weight: float

    def identity_weight(self, vectors: Floats) -> float:
        """The identity weight in a catalog, `MIN_IDENTITY_WEIGHT`..``known_weight``.

        Args:
            vectors: of some or all items, (n, dim), as `models.embedding.layout.compose_item`
                makes them; those without a picture are left out.
        """
        identities = identity_part(vectors)
        identities = identities[identities.any(axis=1)][:SAMPLE]
        if not len(identities):
            return 0.0
        width = identities.shape[1]
        nearest = (identities @ unit(self.identities[:, :width]).T).max(axis=1)
        prefix = width // 32 - 1
        low, high = DOMAIN_MATCH_FROM[prefix], DOMAIN_MATCH_FULL[prefix]
        match = np.clip((float(np.median(nearest)) - low) / (high - low), 0, 1)
        return max(MIN_IDENTITY_WEIGHT, float(self.known_weight * match))
