"""Arrays of unit vectors: types, and a check."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from index.errors import BankError
from index.item import Item

Matrix = npt.NDArray[np.float32]
"""Usually unit vectors as rows, (n, d)."""
Rows = npt.NDArray[np.int64]
"""Row numbers."""
NORM_TOLERANCE = 1e-3
"""By how much the length of a unit vector may differ from 1."""


def check_unit_rows(matrix: Matrix, what: str) -> None:
    """Raise BankError unless a matrix is (≥ 1, ≥ 1), finite, with rows of length one."""
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise BankError(f"{what} must have the shape (n, d) with n, d ≥ 1, not {matrix.shape}")
    error = np.abs(np.linalg.norm(matrix, axis=1) - 1)
    worst = int(np.argmax(np.where(np.isfinite(error), error, np.inf)))
    if not error[worst] <= NORM_TOLERANCE:
        raise BankError(
            f"{what} must be finite and ℓ2-normalised: row {worst} has length "
            f"{error[worst] + 1:.4f}"
        )


def stack(items: list[Item]) -> Matrix:
    """The vectors of items that were read with vectors: (n, d)."""
    return np.array([item.vector for item in items], np.float32)
