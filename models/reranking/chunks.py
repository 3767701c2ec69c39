"""Split candidates into chunks that are compared together (Pailitao-VL, arXiv 2602.13704v2, §5.1).

Chunks are contiguous in retrieval order, so that the most similar candidates are compared with each
other, and balanced, because a chunk of one has nothing to compare. All chunks are one padded array,
processed as one batch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHUNK_SIZE = 10
"""M in the paper."""

ABSENT = -1
"""Padding in a chunk array."""

Chunks = NDArray[np.int64]
"""Candidate indices (chunks, size), ABSENT where a chunk is shorter than the longest."""


def split(count: int, size: int = CHUNK_SIZE) -> Chunks:
    """Chunks of at most `size` for candidates 0..count - 1; sizes differ by at most one."""
    if count == 0:
        return np.empty((0, 0), dtype=np.int64)
    parts = np.array_split(np.arange(count, dtype=np.int64), -(-count // size))
    chunks = np.full((len(parts), len(parts[0])), ABSENT, dtype=np.int64)
    for row, part in enumerate(parts):
        chunks[row, : len(part)] = part
    return chunks
