"""Bytes become a picture, in this process.

For trusted pictures. Others are decoded in processes of their own (`workers.intake.decoder_pool`),
which may crash or hang without harm.
"""

from __future__ import annotations

from models.images.files import Decoded
from workers.intake.decode_image import read_pixels


def decode_picture(data: bytes, max_pixels: int) -> Decoded:
    """The picture in `data`, its long side ≤ 1024 px.

    Raises:
        PictureRefused: see `workers.intake.decode_image.read_pixels`.
    """
    return Decoded.of(read_pixels(data, max_pixels))
