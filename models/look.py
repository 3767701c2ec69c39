"""What a picture looks like: raw features of every depth and colours, for which nothing is learned
but how pictures of one thing differ.

This is what an unknown catalog is searched by, so it must hold where nothing was fitted. Whitening
every depth, and keeping few axes of it, suits the catalogs that it was fitted on and costs others
several points; what shoppers' photos change in a product's picture (light, background, blur) is the
same everywhere, and playing that down gains on catalogs that were left out, too (within-class
covariance normalisation, Hatch et al. 2006).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.axes import Axes, fit_axes, widened
from models.juice import Floats
from models.juicer import unit
from models.vector import LOOK_WIDTH

DEPTH_WEIGHTS, COLOUR_WEIGHT = (0.2, 0.3, 0.6, 1.0), 0.4
"""Shallow to deep, as in `models.projection`."""

NUISANCE_FLOOR = 0.002
"""Of all that changes; flat from a quarter to four times of it."""

SHRINKAGE = 5.0
CENTRED = 0.5
"""Share of the mean that is taken away: the whole is that of other catalogs than the one served."""


def raw(depths: Sequence[Floats], colour: Floats) -> Floats:
    """Features of all depths and colours (…, c), each of length 1 and then weighted, in a row."""
    weights = (*DEPTH_WEIGHTS[-len(depths) :], COLOUR_WEIGHT)
    rows = [
        np.float32(weight) * unit(row)
        for weight, row in zip(weights, (*depths, colour), strict=True)
    ]
    return np.concatenate(rows, axis=-1)


def fit_look(sources: Sequence[Floats], changes: Sequence[Floats]) -> Axes:
    """The map from raw features to a look.

    Args:
        sources: raw features of pictures, (n, c) of each catalog.
        changes: of photos less their product's picture, (m, c) of each catalog that has such;
            without any, nothing is played down.
    """
    damped = np.eye(sources[0].shape[1])
    if changes:
        scatter = sum(rows.T.astype(np.float64) @ rows / len(rows) for rows in changes)
        spectrum, axes = np.linalg.eigh(scatter)
        share = np.maximum(spectrum, 0) / spectrum.sum()
        damped = (axes / np.sqrt(share + NUISANCE_FLOOR)) @ axes.T
    found = fit_axes(
        [np.matmul(rows, damped, dtype=np.float32) for rows in sources], LOOK_WIDTH, SHRINKAGE
    )
    mean = CENTRED * np.mean([rows.mean(axis=0) for rows in sources], axis=0)
    matrix = damped @ found.matrix
    return widened(Axes(mean.astype(np.float32), matrix.astype(np.float32)), LOOK_WIDTH)
