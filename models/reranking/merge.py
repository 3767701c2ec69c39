"""Merge compared chunks into one list (Pailitao-VL, arXiv 2602.13704v2, §5.6, hybrid policy).

Comparative scores order a chunk, absolute ones bring the chunks together: repeatedly take, among
the heads of the chunks, the one with the largest absolute score. A chunk's own order is never
broken, since scores of different chunks were never compared with each other.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.reranking.chunks import ABSENT, Chunks


def merge(
    chunks: Sequence[Sequence[int]], absolute: Sequence[float] | NDArray[np.floating]
) -> list[int]:
    """Candidate indices, best first.

    Args:
        chunks: candidate indices of each chunk, best first.
        absolute: r of each candidate, indexed by candidate; equal scores fall to the lower index.
    """
    heads = [
        (-absolute[chunk[0]], chunk[0], number, 0) for number, chunk in enumerate(chunks) if chunk
    ]
    heapq.heapify(heads)
    merged = []
    while heads:
        _, candidate, number, place = heapq.heappop(heads)
        merged.append(candidate)
        if place + 1 < len(chunks[number]):
            following = chunks[number][place + 1]
            heapq.heappush(heads, (-absolute[following], following, number, place + 1))
    return merged


def order(chunks: Chunks, comparative: NDArray[np.floating]) -> list[list[int]]:
    """The candidates of each chunk by comparative score, best first.

    Args:
        chunks: (chunks, size), ABSENT where a chunk is short.
        comparative: s, (chunks, size); equal scores keep the order given.
    """
    places = np.argsort(-comparative, axis=1, kind="stable")
    return [
        [candidate for candidate in ordered if candidate != ABSENT]
        for ordered in np.take_along_axis(chunks, places, axis=1).tolist()
    ]
