"""Pictures as arrays, and reading them from local files, for training and evaluation."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from models.errors import PictureError
from models.images.decode import Pixels, read_pixels
from models.images.letterbox import Picture

log = logging.getLogger(__name__)

MAX_PIXELS = 60_000_000
"""What intake accepts by default (`intake.max_pixels`)."""


@dataclass(frozen=True)
class Decoded:
    """A picture, uint8 (H, W, 3), and whether its file lacks its last bytes."""

    picture: Picture
    truncated: bool = False

    @classmethod
    def of(cls, pixels: Pixels) -> Self:
        """The pixels as an array."""
        rgb = np.frombuffer(pixels.rgb, np.uint8).reshape(pixels.height, pixels.width, 3)
        return cls(rgb, pixels.truncated)


def open_picture(path: Path) -> Picture:
    """Decode a file as the workers would: upright, sRGB, uint8 (h, w, 3), long side ≤ 1024 px.

    Raises:
        PictureError: the file is missing or is no picture; the message names it.
    """
    try:
        decoded = Decoded.of(read_pixels(path.read_bytes(), MAX_PIXELS))
    except (OSError, PictureError, MemoryError) as error:
        raise PictureError(f"{path} cannot be opened as a picture: {error}") from error
    if decoded.truncated:
        log.warning("%s lacks its last bytes, and is read without its last rows", path)
    return decoded.picture
