"""What a picture looks like: raw features of every depth and colours, for which nothing is learned
but how pictures of one thing differ.

This is what an unknown catalog is searched by, so it must hold where nothing was fitted. Whitening
every depth, and keeping few axes of it, suits the catalogs that it was fitted on and costs others
several points; what shoppers' photos change in a product's picture (light, background, blur) is the
same everywhere, and playing that down gains on catalogs that were left out, too (within-class
covariance normalisation, Hatch et al. 2006). And few axes are kept, but not those of a few catalogs
alone: the classes that the network was first trained to tell apart count as one more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.arrays import Floats, unit

DEPTH_WEIGHTS, COLOUR_WEIGHT = (0.2, 0.3, 0.6, 1.0), 0.4
"""Shallow to deep, as in `models.embedding.projection`."""


def raw(depths: Sequence[Floats], colours: Floats) -> Floats:
    """Features of all depths and colours (…, c), each of length 1 and then weighted, in a row."""
    weights = (*DEPTH_WEIGHTS[-len(depths) :], COLOUR_WEIGHT)
    rows = [
        np.float32(weight) * unit(row)
        for weight, row in zip(weights, (*depths, colours), strict=True)
    ]
    return np.concatenate(rows, axis=-1)
