"""Bytes become a picture: sniffed, limited, upright, RGB."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from workers.errors import PictureRefused

# What shops and phones send. Everything else Pillow could open is attack surface.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
# The backbones look at 260 px; more than this is only memory.
WORKING_SIDE = 1024


def decode_picture(data: bytes, max_pixels: int) -> np.ndarray:
    """The first frame of the picture in `data`, uint8 (H, W, 3), long side ≤ 1024 px.

    The content decides the format, not a file name. EXIF rotation is applied, transparency is
    laid on white.

    Raises:
        PictureRefused: no picture, a format we don't read, cut off, or more than `max_pixels`.
    """
    try:
        with warnings.catch_warnings():
            # Our own limit is checked below, before a pixel is decoded; a mere oddity in the
            # metadata is no reason to refuse a picture.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise PictureRefused(
                        f"the picture has {width} × {height} pixels, more than "
                        f"{max_pixels / 1e6:g} million (intake.max_pixels)"
                    )
                if image.format in ("JPEG", "MPO"):
                    image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
                image.load()
                upright = ImageOps.exif_transpose(image)
                upright.thumbnail((WORKING_SIDE, WORKING_SIDE), reducing_gap=3.0)
                return np.asarray(_on_white(upright))
    except UnidentifiedImageError as error:
        raise PictureRefused(
            f"the data is no picture that can be read ({len(data)} bytes beginning "
            f"{data[:8].hex(' ')}); readable are {', '.join(FORMATS)}"
        ) from error
    except Image.DecompressionBombError as error:
        raise PictureRefused(f"the picture is too large to decode: {error}") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        # Pillow's decoders raise all of these on damaged data.
        raise PictureRefused(f"the picture is damaged or cut off: {error}") from error


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        # 16-bit and float grey: Pillow's own conversion clips instead of scaling.
        grey = np.asarray(image, dtype=np.float32)
        top = 65535.0 if grey.max(initial=0) > 255 else 255.0
        scaled = np.clip(grey / top * 255.0, 0, 255).astype(np.uint8)
        return Image.fromarray(scaled).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
