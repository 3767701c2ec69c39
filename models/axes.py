"""Affine maps onto axes, and principal axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.juice import Floats


@dataclass(frozen=True, eq=False)
class Axes:
    """An affine map x ↦ (x − mean) · matrix from (…, c) to (…, k)."""

    mean: Floats
    matrix: Floats

    def __call__(self, rows: Floats) -> Floats:
        """Map the last axis."""
        mapped: Floats = np.matmul(rows - self.mean, self.matrix, dtype=np.float32)
        return mapped


def fit_axes(sources: Sequence[Floats], width: int, shrinkage: float | None) -> Axes:
    """Principal axes of rows (n, c) from several sources, every source counting the same.

    ``shrinkage`` whitens: axis i is divided by √(λ_i + shrinkage · mean λ), which keeps the noise
    of weak axes small. None only rotates. Fewer than ``width`` axes come back where c or the rows
    are fewer.
    """
    mean: NDArray[np.float64] = np.mean(
        [rows.mean(axis=0, dtype=np.float64) for rows in sources], axis=0
    )
    covariance = np.zeros((len(mean), len(mean)))
    for rows in sources:
        centred = rows - mean
        covariance += centred.T @ centred / len(rows) / len(sources)
    spectrum, axes = np.linalg.eigh(covariance)
    order = np.argsort(-spectrum)[: min(width, sum(map(len, sources)))]
    chosen, matrix = spectrum[order], axes[:, order]
    if shrinkage is not None:
        matrix = matrix / np.sqrt(chosen + shrinkage * chosen.mean())
    # An axis may point either way; fixing it makes a fit reproducible.
    matrix = matrix * np.sign(matrix[np.abs(matrix).argmax(axis=0), np.arange(len(order))])
    return Axes(mean.astype(np.float32), matrix.astype(np.float32))


def widened(axes: Axes, width: int) -> Axes:
    """The axes with zeros up to ``width``: few pictures span fewer axes than a vector has."""
    missing = width - axes.matrix.shape[1]
    return Axes(axes.mean, np.pad(axes.matrix, ((0, 0), (0, missing))))
