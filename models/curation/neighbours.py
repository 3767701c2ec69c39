"""k nearest neighbours, and which of them are mutual.

Exact search up to `MAX_EXACT` documents; beyond, an inverted file (FAISS, Douze et al. 2024). Two
documents are mutual neighbours if each is among the nearest of the other: that keeps hubs, which
are near to everything, from connecting clusters (Jégou et al. 2007, contextual dissimilarity).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Flags, Ints

MAX_EXACT = 60_000
"""Documents that are compared with each other directly; more go through an inverted file."""
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

    def edges(self) -> tuple[Ints, Ints, Floats]:
        """Mutual pairs, each once with the lower row first, and their cosines: three arrays."""
        left, column = np.nonzero(self.mutual)
        right = self.rows[left, column]
        once = left < right
        return left[once], right[once], self.cosines[left, column][once]


def nearest(vectors: Floats, k: int, queries: Flags | None = None) -> Neighbours:
    """Neighbours of unit vectors (n, d) by cosine; rows that are not finite have none.

    Ties go to the lower row. ``queries`` (n,) are the rows whose neighbours are wanted, all by
    default; the others get none.
    """
    n = len(vectors)
    finite = np.flatnonzero(np.isfinite(vectors[:, 0]))
    width = max(1, min(k, n - 1))
    rows = np.full((n, width), UNKNOWN)
    cosines = np.zeros((n, width), np.float32)
    if len(finite) > 1:
        points = np.ascontiguousarray(vectors[finite], np.float32)
        index = _index(points)
        # One more than wanted: a document is its own nearest.
        searched = min(width + 1, len(finite))
        asked = np.arange(len(finite)) if queries is None else np.flatnonzero(queries[finite])
        for start in range(0, len(asked), BLOCK):
            part = asked[start : start + BLOCK]
            near, found = index.search(points[part], searched)
            own = finite[part]
            others = np.where(found >= 0, finite[np.maximum(found, 0)], UNKNOWN)
            near = np.where((others == own[:, None]) | (others == UNKNOWN), -np.inf, near)
            order = np.lexsort((others, -near), axis=1)[:, :width]
            near, others = (np.take_along_axis(one, order, 1) for one in (near, others))
            there = np.isfinite(near)
            columns = others.shape[1]
            rows[own, :columns] = np.where(there, others, UNKNOWN)
            cosines[own, :columns] = np.where(there, near, 0)
    return Neighbours(rows, cosines, mutual(rows))


def _index(points: Floats) -> Any:
    index: Any
    if len(points) <= MAX_EXACT:
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
    """Which of the neighbours ``rows`` (n, k) have the document among theirs, (n, k)."""
    n = len(rows)
    own = np.broadcast_to(np.arange(n)[:, None], rows.shape)
    there = rows != UNKNOWN
    edges = np.where(there, own * n + rows, -1)
    reverse_edges = np.where(there, rows * n + own, -2)
    found: Flags = np.isin(edges, reverse_edges)
    return found
