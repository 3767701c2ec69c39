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
from index.prototypes.bank import PrototypeBank

CANDIDATES = 2000
"""Wanted per query, at least; `CANDIDATES_PER_HIT` × limit if that is more."""
CANDIDATES_PER_HIT = 30
NEAR = 0.02
"""A prototype whose cosine is this close to the best one's is as good as the best."""
FAR = 0.5
"""One this far behind is not worth probing for better hits, only for missing ones."""
MOST_OF_IT = 0.5
"""From this share of the bank on, the whole catalog is searched instead."""


def probe(
    collection: Collection, bank: PrototypeBank, vectors: npt.NDArray[np.float32], limit: int
) -> list[list[Hit]]:
    """The items nearest to each query, found in the prototypes nearest to it.

    Args:
        collection: where to search.
        bank: the bank that the collection is keyed by.
        vectors: unit vectors of shape (n, d).
        limit: hits per query, 1..1000.

    Returns:
        As :meth:`index.milvus.collection.Collection.search`: fewer than `limit` hits only where the
        whole catalog holds fewer.
    """
    per_prototype = collection.recent_count() / len(bank)
    probed: list[Sequence[int] | None] = [
        choose(cosines, per_prototype, limit) for cosines in bank.similarities(vectors)
    ]
    hits = collection.search(vectors, limit, probed)
    short = [query for query, found in enumerate(hits) if len(found) < limit and probed[query]]
    if short:  # a thin neighbourhood, or a count grown old
        for query, found in zip(short, collection.search(vectors[short], limit), strict=True):
            hits[query] = found
    return hits


def choose(cosines: npt.NDArray[np.float32], per_prototype: float, limit: int) -> list[int] | None:
    """The prototypes to probe for one query, nearest first; None to search them all.

    Args:
        cosines: of the query to each prototype, shape (u,).
        per_prototype: how many items a prototype holds on average.
        limit: hits wanted.
    """
    wanted = max(CANDIDATES, CANDIDATES_PER_HIT * limit)
    enough = math.ceil(wanted / max(per_prototype, 1e-9))
    order = np.argsort(-cosines, kind="stable")
    behind = cosines[order[0]] - cosines[order]
    near = int(np.searchsorted(behind, NEAR, side="right"))
    far = int(np.searchsorted(behind, FAR, side="right"))
    fewest = math.ceil(2 * limit / max(per_prototype, 1e-9))
    count = max(near, fewest, min(enough, far))
    if count >= MOST_OF_IT * len(cosines):
        return None
    return [int(prototype) for prototype in order[:count]]
