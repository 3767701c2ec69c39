"""Fitting the appearance map (`models.embedding.appearance`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.arrays import Doubles, Floats
from models.embedding.layout import APPEARANCE_WIDTH
from models.embedding.pca import PrincipalAxes
from models.images import colour_histogram
from models.training.embedding.fit_pca import fit_principal_axes, zero_padded

NUISANCE_FLOOR = 0.002
"""Share of the within-class variance added to each axis; flat from a quarter to four times it."""

SHRINKAGE = 5.0
CENTRING = 0.5
"""Share of the mean that is subtracted: it is that of other catalogs than the one served."""


def fit_appearance(
    sources: Sequence[Floats], changes: Sequence[Floats], classes: Floats | None = None
) -> PrincipalAxes:
    """The map from raw features to an appearance.

    Args:
        sources: raw features of pictures, (n, c) of each catalog.
        changes: photos less their product's packshot, (m, c) of each catalog that has such; without
            any, nothing is damped.
        classes: the classifier's weights over the deepest features (k, d), for each class; None
            where the network has none.
    """
    damping = np.eye(sources[0].shape[1])
    if changes:
        scatter = sum(rows.T.astype(np.float64) @ rows / len(rows) for rows in changes)
        spectrum, axes = np.linalg.eigh(scatter)
        share = np.maximum(spectrum, 0) / spectrum.sum()
        damping = (axes / np.sqrt(share + NUISANCE_FLOOR)) @ axes.T
    damped = [np.matmul(rows, damping, dtype=np.float32) for rows in sources]
    if classes is not None:
        damped.append(_classes_as_catalog(classes, damping, damped))
    found = fit_principal_axes(damped, APPEARANCE_WIDTH, SHRINKAGE)
    mean = CENTRING * np.mean([rows.mean(axis=0) for rows in sources], axis=0)
    matrix = damping @ found.matrix
    return zero_padded(
        PrincipalAxes(mean.astype(np.float32), matrix.astype(np.float32)), APPEARANCE_WIDTH
    )


def _classes_as_catalog(classes: Floats, damping: Doubles, catalogs: Sequence[Floats]) -> Floats:
    """Classes (k, d) as rows (k, c) with the mean and variance of the catalogs' rows."""
    mean = np.mean([rows.mean(axis=0) for rows in catalogs], axis=0)
    spread = np.mean([np.square(rows - mean).sum(axis=1).mean() for rows in catalogs])
    deepest = slice(-colour_histogram.WIDTH - classes.shape[1], -colour_histogram.WIDTH)
    centred = (classes - classes.mean(axis=0)) @ damping[deepest]
    scale = np.sqrt(spread / np.square(centred).sum(axis=1).mean())
    rows: Floats = (mean + scale * centred).astype(np.float32)
    return rows
