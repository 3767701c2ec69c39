"""A picture's colours: a soft CIELAB histogram of its salient patches.

Colour tells products apart in fashion and hardly in groceries, so it is a part of its own, with a
weight of its own. Square roots turn the inner product into the Hellinger kernel
(RootSIFT, Arandjelović and Zisserman 2012).
"""

from __future__ import annotations

import numpy as np

from models.arrays import Floats

LIGHTNESS = (10.0, 36.67, 63.33, 90.0)
GREEN_RED = (-35.0, -15.0, 5.0, 25.0, 45.0)
BLUE_YELLOW = (-35.0, -15.0, 5.0, 25.0, 45.0, 65.0)
"""Bin centres, evenly spaced; colours between two are shared by both."""

WIDTH = len(LIGHTNESS) * len(GREEN_RED) * len(BLUE_YELLOW)


def colour_histogram(pixels: Floats, weights: Floats) -> Floats:
    """Colour descriptor (120,) of length 1.

    ``pixels`` (patches, n, 3) are sRGB from 0 to 255, ``weights`` (patches,) say how much each
    patch counts; their sum is above 0.
    """
    lab = to_lab(pixels.reshape(-1, 3))
    share = np.repeat(weights / weights.sum() / pixels.shape[1], pixels.shape[1])
    light = _soft_bins(lab[:, 0], LIGHTNESS) * share[:, None]
    red, yellow = _soft_bins(lab[:, 1], GREEN_RED), _soft_bins(lab[:, 2], BLUE_YELLOW)
    hue = (red[:, :, None] * yellow[:, None, :]).reshape(len(lab), -1)
    counts: Floats = (light.T @ hue).reshape(-1)
    return np.sqrt(counts)


def to_lab(rgb: Floats) -> Floats:
    """sRGB (n, 3), 0 to 255, to CIELAB with D65 white: L* 0 to 100, a* and b* about ±100."""
    linear = _LINEAR[np.clip(np.rint(rgb), 0, 255).astype(np.intp)]
    relative = linear @ _TO_XYZ
    f = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    light = 116 * f[:, 1] - 16
    red, yellow = 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])
    return np.stack([light, red, yellow], axis=1).astype(np.float32)


def _soft_bins(values: Floats, centres: tuple[float, ...]) -> Floats:
    """Linear shares (n, bins) of each value in its two nearest bins, outer ones in the last."""
    position = (values - centres[0]) / (centres[1] - centres[0])
    distance = np.abs(np.clip(position, 0, len(centres) - 1)[:, None] - np.arange(len(centres)))
    shares: Floats = np.maximum(1 - distance, 0).astype(np.float32)
    return shares


_BYTES = np.arange(256) / 255
_LINEAR = np.where(_BYTES > 0.04045, ((_BYTES + 0.055) / 1.055) ** 2.4, _BYTES / 12.92)
_WHITE = np.array([0.9505, 1.0, 1.089])
_TO_XYZ = (
    np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    / _WHITE
)
