"""Bytes become pixels: format detected, size limited, upright, sRGB.

One piece of code for ingest, queries, evaluation and training, so that all see the same picture.
Nothing here needs numpy, so that the decoder processes (`workers.intake.decoder`) start quickly and
stay small.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from models.errors import PictureError, TooManyPixels
from models.images.file_type import FORMATS, describe, sniff
from models.images.flatten import channel_ranges, flattened
from models.images.heic import open_heic
from models.images.icc_profile import conversion, converted, without_profile
from models.images.truncated_jpeg import LEAST_SHARE, completed, rows_present

# The backbones take 260 px; more than this only costs memory.
WORKING_SIDE = 1024
# Below this side there is nothing to recognise (models.images.letterbox.MIN_SIDE), and what is
# longer than this many times its breadth would fall below it when it is brought down to
# WORKING_SIDE.
SMALLEST_SIDE = 8
LARGEST_RATIO = 100
# An animation that fades in has shown something by then.
MOST_FRAMES = 16
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
# Lossy formats make noise of a blank frame: channels (0..255) that vary by less are one colour.
NOISE = 8
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
    """A decoded picture: `rgb` is height × width × 3 bytes, row by row.

    `truncated`: the file lacks its last bytes, and the picture at most a tenth of its rows.
    """

    width: int
    height: int
    rgb: bytes
    truncated: bool = False


def read_pixels(data: bytes, max_pixels: int) -> Pixels:
    """The picture in `data` as sRGB, its long side at most 1024 px.

    The content decides the format, not a file name or a declared type. Of an animation it is the
    first frame that shows something. EXIF rotation and colour profile are applied, transparency is
    laid on white, 16 bits become 8.

    Raises:
        PictureError: no picture, a format we don't read, truncated, or so small or narrow that
            nothing can be recognised.
        TooManyPixels: more than `max_pixels`.
        MemoryError: the process has not enough memory for it.
    """
    kind = sniff(data)
    if kind is None:
        raise PictureError(
            f"the data is no picture that can be read, but {describe(data)}; "
            f"readable are {', '.join(FORMATS)}"
        )
    with _as_refusals(kind, max_pixels):
        image = _opened(data, kind, max_pixels)
        try:
            image.load()
            # A decoder of HEIC may find another size than the header has.
            _check_size(*image.size, max_pixels)
            shown, truncated = image, False
        except OSError:
            if kind != "JPEG" or (whole := completed(data)) is None:
                raise
            image = _opened(whole, kind, max_pixels)
            shown, truncated = _present(image), True
        small = _small(shown)
        if kind in ANIMATED and _is_blank(small):
            small = _later_frame(data, kind, max_pixels) or small
        # Read after loading: Pillow rotates a TIFF by itself, and then reports it as upright.
        rotation = UPRIGHT.get(_orientation(image))
        upright = small.transpose(rotation) if rotation is not None else small
        return Pixels(*upright.size, upright.tobytes(), truncated)


@contextmanager
def _as_refusals(kind: str, max_pixels: int) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # Our own limit is checked before a pixel is decoded; a mere oddity in the metadata
            # is no reason to refuse a picture.
            warnings.simplefilter("ignore")
            yield
    except (PictureError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"the data begins like {kind}, but is no such picture") from error
    except Image.DecompressionBombError as error:
        raise TooManyPixels(_too_many("more pixels", max_pixels)) from error
    except Exception as error:
        # On damaged data Pillow's plugins raise exceptions of nearly every kind. WebP's has this
        # message also when there is no memory for the canvas.
        room = ", or too large for the memory there is" if str(error) == NO_CANVAS else ""
        raise PictureError(f"the {kind} picture is damaged or truncated{room}: {error}") from error


def _opened(data: bytes, kind: str, max_pixels: int) -> Image.Image:
    """The picture, its size checked, not yet decoded."""
    if kind == "HEIC":
        image = open_heic(data)
    else:
        try:
            image = Image.open(io.BytesIO(data), formats=(kind,))
        except ValueError:
            if kind != "PNG" or (plain := without_profile(data)) is data:
                raise
            image = Image.open(io.BytesIO(plain), formats=(kind,))
    _check_size(*image.size, max_pixels)
    if image.format in ("JPEG", "MPO"):
        image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
    return image


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooManyPixels(_too_many(f"{width} × {height} pixels, more", max_pixels))
    short, long = sorted((width, height))
    if short < SMALLEST_SIDE or long > LARGEST_RATIO * short:
        raise PictureError(
            f"the picture is {width} × {height} pixels; nothing can be recognised below "
            f"{SMALLEST_SIDE} pixels, or where one side is over {LARGEST_RATIO} times the other"
        )


def _too_many(how_many: str, max_pixels: int) -> str:
    return f"the picture has {how_many} than {max_pixels / 1e6:g} million"


def _present(image: Image.Image) -> Image.Image:
    """The rows that a truncated JPEG has, if they are enough."""
    image.load()
    width, height = image.size
    rows = rows_present(image)
    if rows < LEAST_SHARE * height:
        raise PictureError(
            f"the JPEG picture is truncated: only the first {100 * rows // height} % of its rows "
            "are there"
        )
    return image.crop((0, 0, width, rows))


def _small(image: Image.Image) -> Image.Image:
    """A loaded frame as sRGB on white, its long side at most WORKING_SIDE."""
    to_srgb = conversion(image)
    small = flattened(image, WORKING_SIDE, keep_cmyk=to_srgb is not None)
    small.thumbnail((WORKING_SIDE, WORKING_SIDE))
    return converted(small, to_srgb) if to_srgb is not None else small


def _is_blank(rgb: Image.Image) -> bool:
    # Nearly always a few pixels tell.
    sample = rgb.resize((32, 32), Image.Resampling.NEAREST)
    return all(high - low < NOISE for image in (sample, rgb) for low, high in channel_ranges(image))


def _later_frame(data: bytes, kind: str, max_pixels: int) -> Image.Image | None:
    """The first frame of an animation, after the first of all, that shows something.

    At most MOST_FRAMES are looked at, of `max_pixels` together. None if it shows nothing, is no
    animation, or is damaged later on.
    """
    try:
        image = _opened(data, kind, max_pixels)
        size = image.size
        for number in range(1, min(MOST_FRAMES, max_pixels // (size[0] * size[1]))):
            image.seek(number)
            if image.size != size:  # a GIF's frame may be larger than the picture
                return None
            image.load()
            small = _small(image)
            if not _is_blank(small):
                return small
    except Exception:  # of nearly every kind, as in `_as_refusals`, and the end of the frames
        return None
    return None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged metadata of any kind: not rotated
        return 1
