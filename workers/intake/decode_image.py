"""Bytes become pixels: format detected, size limited, upright, RGB.

Runs in the calling process. Nothing here needs numpy, so that the decoder processes
(`workers.intake.decoder`) start quickly and stay small.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from workers.errors import PictureRefused
from workers.intake.file_type import FORMATS, describe, sniff

# The backbones take 260 px; more than this only costs memory.
WORKING_SIDE = 1024
# Below this side there is nothing to recognise (models.images.letterbox.SMALLEST), and what is
# longer than this many times its breadth would fall below it when it is brought down to
# WORKING_SIDE.
SMALLEST_SIDE = 8
LARGEST_RATIO = 100
# Rows flattened and reduced at a time, so that a large picture needs no second copy of itself.
STRIP_PIXELS = 1_000_000
ORIENTATION = 0x0112
NO_CANVAS = "could not create decoder object"
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Pixels:
    """A decoded picture: `rgb` is height × width × 3 bytes, row by row."""

    width: int
    height: int
    rgb: bytes


def read_pixels(data: bytes, max_pixels: int) -> Pixels:
    """The first frame of the picture in `data`, RGB, its long side at most 1024 px.

    The content decides the format, not a file name or a declared type. EXIF rotation is applied,
    transparency is laid on white, 16 bits become 8.

    Raises:
        PictureRefused: no picture, a format we don't read, cut off, more than `max_pixels`, or
            so small or narrow that nothing can be recognised.
        MemoryError: the process has not enough memory for it.
    """
    kind = sniff(data)
    if kind is None:
        raise PictureRefused(
            f"the data is no picture that can be read, but {describe(data)}; "
            f"readable are {', '.join(FORMATS)}"
        )
    with _as_refusals(kind, max_pixels), Image.open(io.BytesIO(data), formats=(kind,)) as image:
        _check_size(*image.size, max_pixels)
        if image.format in ("JPEG", "MPO"):
            image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
        image.load()
        small = _flat(image)
        small.thumbnail((WORKING_SIDE, WORKING_SIDE))
        # Read after loading: Pillow rotates a TIFF by itself, and then reports it as upright.
        rotation = UPRIGHT.get(_orientation(image))
        upright = small.transpose(rotation) if rotation is not None else small
        return Pixels(*upright.size, upright.tobytes())


@contextmanager
def _as_refusals(kind: str, max_pixels: int) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # Our own limit is checked before a pixel is decoded; a mere oddity in the metadata
            # is no reason to refuse a picture.
            warnings.simplefilter("ignore")
            yield
    except (PictureRefused, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise PictureRefused(f"the data begins like {kind}, but is no such picture") from error
    except Image.DecompressionBombError as error:
        raise PictureRefused(_too_many("more pixels", max_pixels)) from error
    except Exception as error:
        # On damaged data Pillow's plugins raise exceptions of nearly every kind. WebP's has this
        # message also when there is no memory for the canvas.
        room = ", or too large for intake.decoder_mb" if str(error) == NO_CANVAS else ""
        raise PictureRefused(f"the {kind} picture is damaged or cut off{room}: {error}") from error


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PictureRefused(_too_many(f"{width} × {height} pixels, more", max_pixels))
    short, long = sorted((width, height))
    if short < SMALLEST_SIDE or long > LARGEST_RATIO * short:
        raise PictureRefused(
            f"the picture is {width} × {height} pixels; nothing can be recognised below "
            f"{SMALLEST_SIDE} pixels, or where one side is over {LARGEST_RATIO} times the other"
        )


def _too_many(how_many: str, max_pixels: int) -> str:
    return f"the picture has {how_many} than {max_pixels / 1e6:g} million (intake.max_pixels)"


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged metadata of any kind: not rotated
        return 1


def _flat(image: Image.Image) -> Image.Image:
    """The loaded picture as RGB on white, reduced by a whole factor to ≥ 2 × WORKING_SIDE."""
    width, height = image.size
    top = _brightest(image)
    factor = max(1, max(width, height) // (2 * WORKING_SIDE))
    rows = max(1, STRIP_PIXELS // (width * factor)) * factor
    if height <= rows:
        return _reduced(_on_white(image, top), factor)
    whole = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    for upper in range(0, height, rows):
        strip = image.crop((0, upper, width, min(upper + rows, height)))
        whole.paste(_reduced(_on_white(strip, top), factor), (0, upper // factor))
    return whole


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


def _on_white(image: Image.Image, top: float) -> Image.Image:
    """Any mode as RGB."""
    if image.mode.startswith(("I", "F")):
        # Pillow's own conversion clips instead of scaling.
        grey = image.convert("I") if image.mode.startswith("I;") else image
        return grey.point(lambda value: value * (255.0 / top)).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, (255, 255, 255))
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.convert("RGB")
