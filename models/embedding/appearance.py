"""Appearance: features of every depth of the frozen network, side by side.

A catalog whose products the encoder was not trained on is searched by what the network knows of
them. Whatever is fitted to a few catalogs costs others several points, whitening above all; so the
appearance is only rotated to fewer axes, which keep the cosines
(`models.training.embedding.fit_appearance`). Colour is a part of its own: it is worth most in
fashion, where it counts more than all depths, and misleads about kinds of household goods.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.arrays import Floats, unit

DEPTH_WEIGHTS = (0.3, 0.4, 0.6, 0.8)
"""Shallow to deep, as in `models.embedding.projection`; the last ones for networks of fewer."""


def raw_features(depths: Sequence[Floats]) -> Floats:
    """Features of all depths side by side (…, c), each of length 1 times its weight."""
    rows = [
        np.float32(weight) * unit(row)
        for weight, row in zip(DEPTH_WEIGHTS[-len(depths) :], depths, strict=True)
    ]
    return np.concatenate(rows, axis=-1)
