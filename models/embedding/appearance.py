"""Appearance: raw features of every depth, and colours, mapped by within-class covariance.

A catalog whose products the encoder was not trained on is searched by appearance, so the map must
generalise to catalogs that it was not fitted on. Whitening every depth, and keeping few axes of it,
overfits: it costs other catalogs several points. What shoppers' photos change in a product's
picture (light, background, blur) is alike in all catalogs, and damping it gains on held-out ones,
too (within-class covariance normalisation, Hatch et al. 2006). The few principal axes that are kept
are not those of a few catalogs alone: the classes of the pretrained network count as one more
(`models.training.embedding.fit_appearance`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.arrays import Floats, unit

DEPTH_WEIGHTS, COLOUR_WEIGHT = (0.2, 0.3, 0.6, 1.0), 0.4
"""Shallow to deep, as in `models.embedding.projection`."""


def raw_features(depths: Sequence[Floats], colours: Floats) -> Floats:
    """Features of all depths and colours side by side (…, c), each of length 1 times its weight."""
    weights = (*DEPTH_WEIGHTS[-len(depths) :], COLOUR_WEIGHT)
    rows = [
        np.float32(weight) * unit(row)
        for weight, row in zip(weights, (*depths, colours), strict=True)
    ]
    return np.concatenate(rows, axis=-1)
