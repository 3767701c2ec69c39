"""Bytes become a picture, in this process.

For trusted pictures. Others are decoded in processes of their own (`workers.intake.decoder_pool`),
which may crash or hang without harm.
"""

from __future__ import annotations

import numpy as np

from models.images.letterbox import Picture
from workers.intake.decode_image import read_pixels


def decode_picture(data: bytes, max_pixels: int) -> Picture:
    """The first frame of the picture in `data`, uint8 (H, W, 3), long side ≤ 1024 px.

    Raises:
        PictureRefused: see `workers.intake.decode_image.read_pixels`.
    """
    pixels = read_pixels(data, max_pixels)
    return np.frombuffer(pixels.rgb, np.uint8).reshape(pixels.height, pixels.width, 3)
