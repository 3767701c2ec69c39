"""Fitting principal axes and rotations to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.arrays import Doubles, Floats
from models.embedding.pca import PrincipalAxes


def fit_principal_axes(
    sources: Sequence[Floats], width: int, shrinkage: float | None
) -> PrincipalAxes:
    """Principal axes of rows (n, c) from several sources, each with the same weight.

    ``shrinkage`` whitens: axis i is divided by √(λ_i + shrinkage · mean λ), which keeps the noise
    of weak axes small. None only rotates. There are fewer than ``width`` axes where c or the rows
    are fewer.
    """
    mean: Doubles = np.mean([rows.mean(axis=0, dtype=np.float64) for rows in sources], axis=0)
    covariance = np.zeros((len(mean), len(mean)))
    for rows in sources:
        centred = rows - mean
        covariance += centred.T @ centred / len(rows) / len(sources)
    spectrum, axes = _sorted_eigenvectors(covariance)
    width = min(width, sum(map(len, sources)))
    chosen, matrix = spectrum[:width], axes[:, :width]
    if shrinkage is not None:
        matrix = matrix / np.sqrt(chosen + shrinkage * chosen.mean())
    return PrincipalAxes(mean.astype(np.float32), matrix.astype(np.float32))


def fit_rotation(sources: Sequence[Floats]) -> Floats:
    """A rotation (c, c) of rows (n, c) to the principal axes of their second moments.

    No mean is subtracted, so that cosines are preserved; each source has the same weight.
    """
    moments = [rows.T.astype(np.float64) @ rows / len(rows) for rows in sources]
    rotation: Floats = _sorted_eigenvectors(np.mean(moments, axis=0))[1].astype(np.float32)
    return rotation


def _sorted_eigenvectors(moments: Doubles) -> tuple[Doubles, Doubles]:
    """Eigenvalues (c,) and eigenvectors (c, c), in columns."""
    spectrum, axes = np.linalg.eigh(moments)
    spectrum, axes = spectrum[::-1], axes[:, ::-1]
    # The sign of an eigenvector is arbitrary; fixing it makes a fit reproducible.
    return spectrum, axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))])


def zero_padded(axes: PrincipalAxes, width: int) -> PrincipalAxes:
    """The axes padded with zeros to ``width``: few pictures span fewer axes than a vector has."""
    missing = width - axes.matrix.shape[1]
    return PrincipalAxes(axes.mean, np.pad(axes.matrix, ((0, 0), (0, missing))))
