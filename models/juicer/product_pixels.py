"""The product's pixels: what the colour of a vector is measured on.

A patch of the backbone is a ninth of the picture wide and mixes product and background. So saliency
is interpolated between patches, and the background is found pixel by pixel: a region of the
border's own colour that reaches in from the border (`models.images.plain_background`).
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from models.arrays import Floats
from models.images.letterbox import Frame, Picture
from models.images.plain_background import plain_background

SIDE = 65
"""Pixels of the longer side of the downscaled copy."""

PLAIN_BORDER = 0.5
"""Share of the border in its median colour from which that is background."""

FLOOR = 1e-6
"""Weight of what is no product, so that a picture without any has colours all the same."""


def product_pixels(
    canvas: Picture, frame: Frame, salience: Floats, grid: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Pixels (n, 3) of a letterboxed picture's downscaled copy, 0..255, and their weights (n,).

    ``salience`` is that of the patches (rows × columns,), 0..1.
    """
    size = canvas.shape[0]
    edges = (frame.left, frame.top, frame.right, frame.bottom)
    box = tuple(round(min(max(edge, 0.0), 1.0) * size) for edge in edges)  # the rest was cut off
    scale = SIDE / max(box[2] - box[0], box[3] - box[1])
    small = max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale))
    pixels = np.asarray(Image.fromarray(canvas).resize(small, Image.Resampling.BOX, box))
    cells = Image.fromarray(salience.reshape(grid))
    patch = grid[1] / size
    within = tuple(edge * patch for edge in box)
    weights = np.asarray(cells.resize(small, Image.Resampling.BILINEAR, within))
    weights = np.maximum(weights * ~plain_background(pixels, PLAIN_BORDER), FLOOR)
    return pixels.reshape(-1, 3).astype(np.float32), weights.reshape(-1)
