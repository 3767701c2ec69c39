"""Arrays of unit vectors: their types, the check that they are what they should be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from index.errors import BankError
from index.item import Item

Matrix = npt.NDArray[np.float32]


Rows = npt.NDArray[np.int64]


NORM_TOLERANCE = 1e-3


def check_unit_rows(matrix: Matrix, what: str) -> None:
    """Raise BankError unless a matrix is (≥ 1, ≥ 1), finite, with rows of length one."""
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise BankError(f"{what} must have the shape (n, d) with n, d ≥ 1, not {matrix.shape}")
    off = np.abs(np.linalg.norm(matrix, axis=1) - 1)
    bad = int(np.argmax(np.where(np.isfinite(off), off, np.inf)))
    if not off[bad] <= NORM_TOLERANCE:
        raise BankError(
            f"{what} must be finite and ℓ2-normalised: row {bad} has length {off[bad] + 1:.4f}"
        )


def stack(items: list[Item]) -> Matrix:
    """The vectors of items that were read with them: (n, d)."""
    return np.array([item.vector for item in items], np.float32)
