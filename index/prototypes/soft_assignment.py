"""Soft assignment: an item near a border belongs to the prototypes on both sides of it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from index.errors import BankError
from index.vectors import Matrix, Rows

NONE = -1
"""The row where a vector has fewer prototypes than columns."""


class Searchable(Protocol):
    """What a bank in memory and a mapped one have in common."""

    def search(self, vectors: Matrix, k: int) -> tuple[Rows, Matrix]:
        """Rows and cosines of the prototypes nearest to (n, d) vectors, nearest first."""


@dataclass(frozen=True)
class Soft:
    """Prototypes of n vectors, at most k each.

    Attributes:
        rows: int64 (n, k), nearest first; `NONE` where there are fewer.
        cosines: float32 (n, k); −1 where there is no prototype.
        weights: float32 (n, k), each row adding up to 1; 0 where there is no prototype.
    """

    rows: Rows
    cosines: Matrix
    weights: Matrix


def soft_assign(
    bank: Searchable, vectors: Matrix, k: int = 4, margin: float = 0.05, temperature: float = 0.05
) -> Soft:
    """Up to k prototypes of each vector whose cosine is within a margin of the best one's.

    Args:
        bank: a `PrototypeBank` or a `MappedBank`.
        vectors: float32 (n, d), ℓ2-normalised.
        k: most prototypes for one vector, ≥ 1.
        margin: how much less similar than the nearest one a prototype may be, in 0..2; 0 leaves
            the nearest (and its equals).
        temperature: weights are the softmax of cosine / temperature; the lower, the more the
            nearest one counts.

    Raises:
        BankError: a parameter out of range.
    """
    if k < 1 or not 0 <= margin <= 2 or not temperature > 0:
        raise BankError(
            f"k = {k}, margin = {margin}, temperature = {temperature}: "
            "they must be ≥ 1, in 0..2 and > 0"
        )
    rows, cosines = bank.search(vectors, k)
    near = cosines >= cosines[:, :1] - margin
    logits = np.where(near, (cosines - cosines[:, :1]) / temperature, -np.inf)
    weights = np.exp(logits)
    weights /= weights.sum(axis=1, keepdims=True)
    return Soft(
        rows=np.where(near, rows, NONE),
        cosines=np.where(near, cosines, -1).astype(np.float32),
        weights=weights.astype(np.float32),
    )
