"""The colours that a picture's ICC profile gives its numbers, as sRGB.

Phones write Display P3, cameras Adobe RGB, print shops CMYK: taken for sRGB, the same product has
other colours in its photo than in the catalog. The conversion is relative colorimetric with black
point compensation: a colour that sRGB has comes out as it was measured, paper is white and the
darkest ink black. (The profiles of cameras and phones are matrices, where all intents are the
same.)

A profile is data of others like the rest of the file. One that is broken, over MAX_BYTES, of
another class or for other channels than the picture's is ignored: the picture is read as it would
be without.
"""

from __future__ import annotations

import io
import struct
from functools import cache, lru_cache

from PIL import Image, ImageChops, ImageCms

from models.images.flatten import channel_ranges

# Those of printing presses have one to three megabytes, all others a few kilobytes.
MAX_BYTES = 4_000_000
HEADER_BYTES = 128
# Of the header: of monitors, scanners, printers, and colour spaces. Not device links and the like.
CLASSES = (b"mntr", b"scnr", b"prtr", b"spac")
CHANNELS = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
MODES = {
    "RGB": ("RGB", "RGBA", "RGBX", "RGBa", "P", "PA"),
    "L": ("L", "LA", "La", "1", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"),
    "CMYK": ("CMYK",),
}
# Profiles that change no colour by more than this are sRGB, which many programs round differently.
# Its pictures keep every bit.
SAME = 2


def conversion(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """What makes sRGB of the picture's colours; None where they are sRGB, or nobody knows."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not HEADER_BYTES < len(profile) <= MAX_BYTES:
        return None
    channels = CHANNELS.get(profile[16:20])
    if channels is None or image.mode not in MODES[channels] or profile[12:16] not in CLASSES:
        return None
    return _conversion(profile, channels)


def converted(flat: Image.Image, conversion: ImageCms.ImageCmsTransform) -> Image.Image:
    """A flattened picture (RGB on white, or CMYK) as sRGB."""
    image = flat.getchannel(0) if conversion.input_mode == "L" else flat
    out = conversion.apply(image)
    out.info.pop("icc_profile", None)
    return out


def without_profile(png: bytes) -> bytes:
    """A PNG without its profile: Pillow refuses a picture whose profile is over a megabyte."""
    at = 8
    while at + 12 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        if kind == b"iCCP":
            return png[:at] + png[at + 12 + length :]
        if kind == b"IDAT":
            break
        at += 12 + length
    return png


# A shop's pictures have few different profiles.
@lru_cache(maxsize=8)
def _conversion(profile: bytes, channels: str) -> ImageCms.ImageCmsTransform | None:
    try:
        found = ImageCms.ImageCmsTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            _srgb(),
            channels,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return None if _changes_nothing(found, channels) else found
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _changes_nothing(conversion: ImageCms.ImageCmsTransform, channels: str) -> bool:
    if channels == "CMYK":
        return False
    colours = _colours(channels)
    difference = ImageChops.difference(colours.convert("RGB"), conversion.apply(colours))
    return all(high <= SAME for _, high in channel_ranges(difference))


@cache
def _colours(channels: str) -> Image.Image:
    """All greys, and for RGB colours from the whole cube too."""
    greys = [(value,) * len(channels) for value in range(256)]
    steps = range(0, 256, 32 - 1)
    cube = [(r, g, b) for r in steps for g in steps for b in steps] if channels == "RGB" else []
    pixels = [*greys, *cube]
    return Image.frombytes(channels, (len(pixels), 1), bytes(v for pixel in pixels for v in pixel))
