"""Reading pictures from local files, for training and evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import PictureError
from models.images.letterbox import Picture


def open_picture(path: Path) -> Picture:
    """Decode a file upright as RGB, uint8 (h, w, 3).

    Raises:
        PictureError: the file is missing or is no picture; the message names it.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise PictureError(f"{path} cannot be opened as a picture: {error}") from error
