"""A query map: what one catalog has taught about its own pictures, applied to queries alone.

Only the query is mapped, so that nothing is encoded or written again, and what was learned can be
put in place and taken away at once. Learned by `models.embedding.adapt`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.arrays import Floats, unit


@dataclass(frozen=True, eq=False)
class QueryMap:
    """An affine map of a query's weighed picture, of length 1, to the same space.

    Attributes:
        matrix: (p, p), added to the identity map.
        offset: (p,).
    """

    matrix: Floats
    offset: Floats

    def __call__(self, picture: Floats) -> Floats:
        """The mapped picture (p,), as long as it was."""
        length = np.linalg.norm(picture)
        given = picture / length
        mapped: Floats = unit(given + given @ self.matrix + self.offset) * length
        return mapped
