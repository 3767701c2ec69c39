"""The background of a picture where it is plain: a region of the border's colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.images.letterbox import Picture

COLOUR_TOLERANCE = 14
"""Difference (bytes, largest channel) from the border's median up to which a pixel is alike."""

MIN_PRODUCT = 0.03
"""Share of a picture that the product covers at least: else nothing counts as background."""


def plain_background(pixels: Picture, border: float) -> NDArray[np.bool_]:
    """The pixels (h, w) of the border's colour that are connected with the border.

    No pixel where less than the share ``border`` of the border, 0..1, has one colour, or where
    nearly all would be background.
    """
    values = pixels.astype(np.int16)
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    colour = np.median(edge, axis=0)
    near = np.abs(values - colour).max(axis=2) < COLOUR_TOLERANCE
    found: NDArray[np.bool_] = np.zeros_like(near)
    if (np.abs(edge - colour).max(axis=1) < COLOUR_TOLERANCE).mean() < border:
        return found
    found[[0, -1]], found[:, [0, -1]] = near[[0, -1]], near[:, [0, -1]]
    count = 0
    while (grown := int(found.sum())) > count:
        count = grown
        found[1:] |= found[:-1] & near[1:]
        found[:-1] |= found[1:] & near[:-1]
        found[:, 1:] |= found[:, :-1] & near[:, 1:]
        found[:, :-1] |= found[:, 1:] & near[:, :-1]
    if count > (1 - MIN_PRODUCT) * found.size:
        found[:] = False
    return found
