"""Probing on a Milvus server: search a few prototypes instead of the whole catalog.

How many depends on the catalog, so it is never a constant. Measured at 100,000 items (100 per
prototype) eight probes hold .989 of the true top ten, at 10,000 (10 per prototype) sixteen hold
only .945: it is the number of candidates seen that decides. So the nearest prototypes are taken
until enough candidates are expected; prototypes about as near as the best one are always taken, and
those far behind it only as long as answers are missing. Then those are searched, too, that may hold
something better than what was found, as `index.search.cells` has it.

On Milvus Lite the vectors are in memory, and `index.search.cells` is asked instead.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index.item import Hit
from index.milvus.collection import Collection
from index.prototypes.protocol import Bank
from index.search.cells import SURE, expected
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
WIDEST, NARROWEST = 0.5, 0.98
"""Cosines of nearly all items to their prototype; those of each one are not known on a server."""
FURTHER = 4
"""At most so many times as many prototypes are searched after the first look."""


@dataclass(frozen=True)
class Probed:
    """How a query was answered: by the items of `opened` prototypes `of` so many.

    `seen` items were compared; 0 where that is not known.
    """

    opened: int
    of: int
    seen: int = 0


def probe(
    collection: Collection, bank: Bank, vectors: npt.NDArray[np.float32], limit: int
) -> list[list[Hit]]:
    """The items nearest to each query, as `probe_counted` without its count."""
    return [hits for hits, _ in probe_counted(collection, bank, vectors, limit)]


def probe_counted(
    collection: Collection, bank: Bank, vectors: npt.NDArray[np.float32], limit: int
) -> list[tuple[list[Hit], Probed]]:
    """The items nearest to each query, found in the prototypes nearest to it.

    Args:
        collection: where to search.
        bank: the bank that the collection's items are assigned by.
        vectors: unit vectors of shape (n, d).
        limit: hits per query, 1..1000.

    Returns:
        As :meth:`index.milvus.collection.Collection.search`: fewer than `limit` hits only where the
        whole catalog holds fewer; and what was searched for them.
    """
    probed = choose(bank, vectors, collection.recent_count() / len(bank), limit)
    hits = collection.search(vectors, limit, probed)
    more = {
        query: promising
        for query, (found, chosen) in enumerate(zip(hits, probed, strict=True))
        if chosen and len(found) >= limit
        if (promising := _promising(bank, vectors[query], found, chosen))
    }
    if more:
        asked = list(more)
        found_there = collection.search(vectors[asked], limit, [more[one] for one in asked])
        for query, found in zip(asked, found_there, strict=True):
            hits[query] = _merged(hits[query], found, limit)
            probed[query] = [*(probed[query] or ()), *more[query]]
    short = [query for query, found in enumerate(hits) if len(found) < limit and probed[query]]
    if short:  # few items near the query, or an old count
        for query, found in zip(short, collection.search(vectors[short], limit), strict=True):
            hits[query], probed[query] = found, None
    return [
        (found, Probed(len(bank) if chosen is None else len(chosen), len(bank)))
        for found, chosen in zip(hits, probed, strict=True)
    ]


def _promising(
    bank: Bank, vector: npt.NDArray[np.float32], hits: Sequence[Hit], searched: Sequence[int]
) -> list[int]:
    """Prototypes that were not searched and may hold something better than the best few hits."""
    known = min(len(bank), (1 + FURTHER) * len(searched))
    rows, cosines = bank.search(vector[None], known)
    low, high = (np.full(len(rows[0]), one, np.float32) for one in (WIDEST, NARROWEST))
    reach = expected(cosines[0], low, high)
    enough = hits[min(len(hits), SURE) - 1].similarity
    return [
        int(row)
        for row, best in zip(rows[0], reach, strict=True)
        if row >= 0 and best > enough and int(row) not in searched
    ]


def _merged(hits: Sequence[Hit], others: Sequence[Hit], limit: int) -> list[Hit]:
    """The best of two lists, each item once: it may have moved between the two searches."""
    best: dict[str, Hit] = {}
    for hit in (*others, *hits):
        best[hit.item.item_id] = hit
    return sorted(best.values(), key=lambda hit: (-hit.similarity, hit.item.item_id))[:limit]


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
