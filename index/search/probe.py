"""Probing: search a few prototypes instead of the whole catalog.

How many depends on the catalog, so it is never a constant. Measured at 100,000 items (100 per
prototype) eight probes hold .989 of the true top ten, at 10,000 (10 per prototype) sixteen hold
only .945: it is the number of candidates seen that decides. So the nearest prototypes are taken
until enough candidates are expected; prototypes about as near as the best one are always taken, and
those far behind it only as long as answers are missing.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from index.item import Hit
from index.milvus.collection import Collection
from index.prototypes.protocol import Bank
from index.vectors import Matrix, Rows

CANDIDATES = 2000
"""Wanted per query, at least; `CANDIDATES_PER_HIT` × limit if that is more."""
CANDIDATES_PER_HIT = 30
NEAR_COSINE = 0.02
"""A prototype whose cosine is this close to the best one's is as good as the best."""
FAR_COSINE = 0.5
"""One this far behind is not worth probing for better hits, only for missing ones."""
WHOLE_FROM = 0.5
"""From this share of the bank on, the whole catalog is searched instead."""


def probe(
    collection: Collection, bank: Bank, vectors: npt.NDArray[np.float32], limit: int
) -> list[list[Hit]]:
    """The items nearest to each query, found in the prototypes nearest to it.

    Args:
        collection: where to search.
        bank: the bank that the collection's items are assigned by.
        vectors: unit vectors of shape (n, d).
        limit: hits per query, 1..1000.

    Returns:
        As :meth:`index.milvus.collection.Collection.search`: fewer than `limit` hits only where the
        whole catalog holds fewer.
    """
    probed = choose(bank, vectors, collection.recent_count() / len(bank), limit)
    hits = collection.search(vectors, limit, probed)
    short = [query for query, found in enumerate(hits) if len(found) < limit and probed[query]]
    if short:  # few items near the query, or an old count
        for query, found in zip(short, collection.search(vectors[short], limit), strict=True):
            hits[query] = found
    return hits


def choose(
    bank: Bank, vectors: npt.NDArray[np.float32], per_prototype: float, limit: int
) -> list[Sequence[int] | None]:
    """The prototypes to probe for each query, nearest first; None to search them all.

    Args:
        bank: the prototypes.
        vectors: unit vectors of shape (n, d).
        per_prototype: how many items a prototype holds on average.
        limit: hits wanted per query.
    """
    wanted = max(CANDIDATES, CANDIDATES_PER_HIT * limit)
    fewest = math.ceil(2 * limit / max(per_prototype, 1e-9))
    enough = math.ceil(wanted / max(per_prototype, 1e-9))
    most = max(1, math.ceil(WHOLE_FROM * len(bank)))
    known = min(max(fewest, enough) + 1, most)
    while True:
        rows, cosines = bank.search(vectors, known)
        chosen = [
            _chosen(found, near, fewest, enough) for found, near in zip(rows, cosines, strict=True)
        ]
        # Where all that is known is taken for being near, there may be more of it.
        if known >= most or all(len(one) < known for one in chosen):
            break
        known = min(2 * known, most)
    return [None if max(fewest, len(one)) >= most else one for one in chosen]


def _chosen(rows: Rows, cosines: Matrix, fewest: int, enough: int) -> list[int]:
    """Of the prototypes nearest to a query those to probe; a row of −1 is none."""
    behind = cosines[0] - cosines
    near = int(np.searchsorted(behind, NEAR_COSINE, side="right"))
    far = int(np.searchsorted(behind, FAR_COSINE, side="right"))
    count = max(near, fewest, min(enough, far))
    return [int(row) for row in rows[:count] if row >= 0]
