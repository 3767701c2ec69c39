"""From a decoded picture to the backbone's input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.errors import PictureError
from models.juice import Floats

Picture = NDArray[np.uint8]

SMALLEST = 8
"""Pixels: below this there is nothing to recognise."""


def check(picture: Picture) -> None:
    """Raise PictureError unless the picture is uint8 (h, w, 3), at least 8 × 8 px."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise PictureError(
            f"a picture is uint8 of shape (height, width, 3), RGB; this is {picture.dtype} of "
            f"shape {picture.shape}"
        )
    if min(picture.shape[:2]) < SMALLEST:
        height, width = picture.shape[:2]
        raise PictureError(
            f"the picture is {width} × {height} px; {SMALLEST} × {SMALLEST} is least"
        )


def resize(picture: Picture, size: int) -> Picture:
    """Resize to size × size, bicubic with anti-aliasing, ignoring the aspect ratio.

    The whole picture fills the grid, so patches map to picture parts without any padding to
    account for.
    """
    check(picture)
    scaled = Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(scaled)


def normalise(picture: Picture) -> Floats:
    """Bytes (s, s, 3) to the floats (3, s, s) that EfficientNet-Lite was trained on: ±1."""
    signal: Floats = (picture.transpose(2, 0, 1).astype(np.float32) - 127.0) / 128.0
    return np.ascontiguousarray(signal)
