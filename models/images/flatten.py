"""A loaded picture of any mode becomes RGB on white, without a second copy of a large one."""

from __future__ import annotations

import math
from typing import cast

from PIL import Image

# Rows flattened and reduced at a time.
STRIP_PIXELS = 1_000_000


def flattened(image: Image.Image, side: int, *, keep_cmyk: bool = False) -> Image.Image:
    """The loaded picture as RGB on white, reduced by a whole factor to ≥ 2 × `side`.

    16 bits become 8. CMYK stays CMYK with `keep_cmyk`, for who has its colour profile.
    """
    width, height = image.size
    mode = "CMYK" if keep_cmyk and image.mode == "CMYK" else "RGB"
    top = _brightest(image)
    factor = max(1, max(width, height) // (2 * side))
    rows = max(1, STRIP_PIXELS // (width * factor)) * factor
    if height <= rows:
        return _reduced(_on_white(image, mode, top), factor)
    whole = Image.new(mode, (-(-width // factor), -(-height // factor)))
    for upper in range(0, height, rows):
        strip = image.crop((0, upper, width, min(upper + rows, height)))
        whole.paste(_reduced(_on_white(strip, mode, top), factor), (0, upper // factor))
    return whole


def channel_ranges(image: Image.Image) -> list[tuple[float, float]]:
    """The lowest and highest value of each channel."""
    return [cast("tuple[float, float]", band.getextrema()) for band in image.split()]


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    # A picture narrower than the factor is one pixel wide, not none.
    return image.reduce(factor) if factor > 1 else image


def _brightest(image: Image.Image) -> float:
    """The grey value that is white. 32-bit integers and floats don't define it: there it is the
    next common maximum above the brightest pixel.
    """
    if image.mode not in ("I", "F"):
        return 65535.0
    highest = image.getextrema()[1]
    if not isinstance(highest, int | float) or not math.isfinite(highest):
        raise ValueError("its brightness has no limit")
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    return next((top for top in usual if highest <= top), float(highest))


def _on_white(image: Image.Image, mode: str, top: float) -> Image.Image:
    """Any mode as `mode`: RGB, or a copy of what is CMYK already."""
    if image.mode.startswith(("I", "F")):
        # Pillow's own conversion clips instead of scaling.
        grey = image.convert("I") if image.mode.startswith("I;") else image
        return grey.point(lambda value: value * (255.0 / top)).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, (255, 255, 255))
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.convert(mode)
