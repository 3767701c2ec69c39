"""Each document's nearest, and which of them count it among theirs.

Exact search by blocks while that takes minutes; beyond, an inverted file (FAISS, Douze et al.
2024). A neighbourhood is mutual when both count each other: that keeps hubs, near to everything,
from tying clusters together (Jégou et al. 2007, contextual dissimilarity).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Flags, Ints

EXACT = 60_000
"""Documents compared with each other directly; more go through an inverted file."""
BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k nearest others of each document, nearest first.

    ``rows`` (n, k), UNKNOWN where there are fewer; ``cosines`` (n, k), 0 there; ``mutual`` (n, k).
    """

    rows: Ints
    cosines: Floats
    mutual: Flags

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def scale(self) -> Floats:
        """How near the nearest and the k-th are, (n, 2): the local density is high where both are.

        Documents without neighbours have 0.
        """
        last = np.maximum((self.rows != UNKNOWN).sum(axis=1) - 1, 0)
        ends: Floats = np.stack([self.cosines[:, 0], self.cosines[np.arange(len(self)), last]], 1)
        return ends

    def edges(self) -> tuple[Ints, Ints, Floats]:
        """Mutual pairs, each once with the lower row first, and their cosines: three arrays."""
        left, place = np.nonzero(self.mutual)
        right = self.rows[left, place]
        once = left < right
        return left[once], right[once], self.cosines[left, place][once]


def nearest(vectors: Floats, k: int, asking: Flags | None = None) -> Neighbours:
    """Neighbours of unit vectors (n, d) by cosine; rows that are not finite have none.

    Of equally near ones the lower row comes first. ``asking`` (n,) says who needs neighbours, all
    by default; the others come back without any.
    """
    n = len(vectors)
    seen = np.flatnonzero(np.isfinite(vectors[:, 0]))
    wide = max(1, min(k, n - 1))
    rows = np.full((n, wide), UNKNOWN)
    cosines = np.zeros((n, wide), np.float32)
    if len(seen) > 1:
        points = np.ascontiguousarray(vectors[seen], np.float32)
        index = _index(points)
        # One more than asked for: a document is its own nearest.
        asked = min(wide + 1, len(seen))
        asks = np.arange(len(seen)) if asking is None else np.flatnonzero(asking[seen])
        for start in range(0, len(asks), BLOCK):
            part = asks[start : start + BLOCK]
            near, found = index.search(points[part], asked)
            own = seen[part]
            columns = np.where(found >= 0, seen[np.maximum(found, 0)], UNKNOWN)
            near = np.where((columns == own[:, None]) | (columns == UNKNOWN), -np.inf, near)
            order = np.lexsort((columns, -near), axis=1)[:, :wide]
            near, columns = (np.take_along_axis(one, order, 1) for one in (near, columns))
            there = np.isfinite(near)
            width = columns.shape[1]
            rows[own, :width] = np.where(there, columns, UNKNOWN)
            cosines[own, :width] = np.where(there, near, 0)
    return Neighbours(rows, cosines, mutual(rows))


def _index(points: Floats) -> Any:
    index: Any
    if len(points) <= EXACT:
        index = faiss.IndexFlatIP(points.shape[1])
    else:
        cells = int(4 * np.sqrt(len(points)))
        kind = f"IVF{cells},Flat"
        index = faiss.index_factory(points.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = 16
        index.train(points[:: max(1, len(points) // (40 * cells))])
    index.add(points)
    return index


def mutual(rows: Ints) -> Flags:
    """Which neighbourhoods of rows (n, k) are returned."""
    n = len(rows)
    own = np.broadcast_to(np.arange(n)[:, None], rows.shape)
    there = rows != UNKNOWN
    forth = np.where(there, own * n + rows, -1)
    back = np.where(there, rows * n + own, -2)
    returned: Flags = np.isin(forth, back)
    return returned
