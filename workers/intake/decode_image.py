"""`models.images.decode` as intake needs it: what it refuses is an IntakeError."""

from __future__ import annotations

from models.errors import PictureError, TooManyPixels
from models.images import decode
from models.images.decode import Pixels
from workers.errors import PictureRefused


def read_pixels(data: bytes, max_pixels: int) -> Pixels:
    """The picture in `data` as sRGB, its long side at most 1024 px.

    Raises:
        PictureRefused: see `models.images.decode.read_pixels`.
        MemoryError: the process has not enough memory for it.
    """
    try:
        return decode.read_pixels(data, max_pixels)
    except TooManyPixels as error:
        raise PictureRefused(f"{error} (intake.max_pixels)") from error
    except PictureError as error:
        raise PictureRefused(str(error)) from error
