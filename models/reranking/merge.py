"""Merge compared chunks into one list (Pailitao-VL, arXiv 2602.13704v2, §5.6, hybrid policy).

Comparative scores order each chunk, absolute ones merge the chunks: repeatedly take, among the
first remaining candidates of the chunks, the one with the largest absolute score. The order within
a chunk is kept, since comparative scores are comparable only there.
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
        absolute: r of each candidate, indexed by candidate; ties go to the lower index.
    """
    heads = [
        (-absolute[chunk[0]], chunk[0], number, 0) for number, chunk in enumerate(chunks) if chunk
    ]
    heapq.heapify(heads)
    merged = []
    while heads:
        _, candidate, number, position = heapq.heappop(heads)
        merged.append(candidate)
        if position + 1 < len(chunks[number]):
            following = chunks[number][position + 1]
            heapq.heappush(heads, (-absolute[following], following, number, position + 1))
    return merged


def order(chunks: Chunks, comparative: NDArray[np.floating]) -> list[list[int]]:
    """The candidates of each chunk by comparative score, best first.

    Args:
        chunks: (chunks, size), ABSENT where a chunk is short.
        comparative: s, (chunks, size); ties keep the given order.
    """
    positions = np.argsort(-comparative, axis=1, kind="stable")
    return [
        [candidate for candidate in ordered if candidate != ABSENT]
        for ordered in np.take_along_axis(chunks, positions, axis=1).tolist()
    ]
