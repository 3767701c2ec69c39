"""HEIC pictures, as iPhones take them: with pillow-heif, which is of the extra `heic`.

Pillow itself reads AVIF, the other format in this container.
"""

from __future__ import annotations

import io

from PIL import Image

from models.errors import PictureError

try:
    import pillow_heif
except ImportError:
    pillow_heif = None  # type: ignore[assignment]

INSTALLED = pillow_heif is not None
MISSING = (
    "the data is an HEIC picture, which takes an extra: "
    'pip install "lookstream[heic]" where the workers run, or send JPEG'
)


def open_heic(data: bytes) -> Image.Image:
    """The picture, its size known and nothing decoded.

    Raises:
        PictureError: the extra is not installed.
    """
    if pillow_heif is None:
        raise PictureError(MISSING)
    # Not by Image.open, for which the format would have to be registered for the whole process.
    image: Image.Image = pillow_heif.HeifImageFile(io.BytesIO(data))  # type: ignore[no-untyped-call]
    return image


def decode_in_one_thread() -> None:
    """For the whole process: each thread reserves address space."""
    if pillow_heif is not None:
        pillow_heif.options.DECODE_THREADS = 1
