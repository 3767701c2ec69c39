"""Unusual but valid pictures of every format, and the pictures that other cases are made of."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from tests.doubles.icc_profiles import PROPHOTO, PROPHOTO_GAMMA, rgb_profile
from tests.hostile.case import Case, Colour, Expected, Size, accepted, data_uri, refused

ORANGE: Colour = (200, 100, 50)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
LOSSLESS: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95}}

MODES: tuple[tuple[str, str, Any, Colour], ...] = (
    ("JPEG", "RGB", ORANGE, ORANGE),
    ("JPEG", "L", 90, (90, 90, 90)),
    ("JPEG", "CMYK", (0, 128, 192, 32), (223, 111, 55)),
    ("PNG", "1", 1, (255, 255, 255)),
    ("PNG", "L", 90, (90, 90, 90)),
    ("PNG", "LA", (90, 128), (172, 172, 172)),
    ("PNG", "RGB", ORANGE, ORANGE),
    ("PNG", "RGBA", (*ORANGE, 128), (227, 177, 152)),
    ("PNG", "RGBA", (*ORANGE, 0), (255, 255, 255)),
    ("PNG", "I;16", 25700, (100, 100, 100)),
    ("PNG", "I;16", 200, (1, 1, 1)),
    ("WEBP", "RGB", ORANGE, ORANGE),
    ("WEBP", "RGBA", (*ORANGE, 128), (227, 177, 152)),
    ("GIF", "L", 90, (90, 90, 90)),
    ("GIF", "RGB", ORANGE, ORANGE),
    ("BMP", "1", 0, (0, 0, 0)),
    ("BMP", "L", 90, (90, 90, 90)),
    ("BMP", "RGB", ORANGE, ORANGE),
    ("TIFF", "1", 1, (255, 255, 255)),
    ("TIFF", "L", 90, (90, 90, 90)),
    ("TIFF", "RGB", ORANGE, ORANGE),
    ("TIFF", "RGBA", (*ORANGE, 128), (227, 177, 152)),
    ("TIFF", "CMYK", (0, 128, 192, 32), (223, 111, 55)),
    ("TIFF", "LAB", (128, 128, 128), (119, 119, 119)),
    ("TIFF", "I;16", 25700, (100, 100, 100)),
    ("TIFF", "I", 25700, (100, 100, 100)),
    ("TIFF", "F", 0.5, (127, 127, 127)),
    ("TIFF", "F", 25700.0, (100, 100, 100)),
    ("AVIF", "RGB", ORANGE, ORANGE),
    ("AVIF", "RGBA", (*ORANGE, 128), (227, 177, 152)),
)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The image encoded in a format."""
    out = io.BytesIO()
    image.save(out, kind, **LOSSLESS.get(kind, {}) | options)
    return out.getvalue()


def flat(kind: str, size: Size = (64, 48), mode: str = "RGB", colour: Any = ORANGE) -> bytes:
    """A picture of one colour, encoded."""
    return saved(Image.new(mode, size, colour), kind)


def noisy(kind: str, size: Size = (160, 120), seed: int = 0) -> bytes:
    """A picture of smoothed noise, encoded: every byte of the file matters."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    options = {} if kind != "WEBP" else {"lossless": False}
    return saved(Image.fromarray(pixels).filter(ImageFilter.BoxBlur(1)), kind, **options)


def heic_of(image: Image.Image, **options: Any) -> bytes:
    """The image as HEIC; needs the extra `heic`."""
    from pillow_heif import from_pillow

    out = io.BytesIO()
    from_pillow(image).save(out, quality=95, chroma=444, **options)
    return out.getvalue()


def unusual_but_valid() -> Iterator[Case]:
    """Every colour mode, orientation, animation and shape that must be accepted."""
    for kind, mode, value, colour in MODES:
        data = flat(kind, mode=mode, colour=value)
        yield _case(f"{kind} {mode} {value}", data, accepted((64, 48), colour))
    yield from _palettes()
    yield from _animated()
    yield from _rotated()
    yield from _shapes()
    yield from _damaged_metadata()
    for kind in FORMATS:
        for declared in ("text/html", "application/octet-stream", "image/svg+xml", ""):
            name = f"{kind} declared {declared or 'nothing'}"
            yield Case(name, data_uri(flat(kind), declared), accepted((64, 48), ORANGE))
        if kind != "AVIF":  # its boxes reach to the end of the file
            data = flat(kind) + b"\0" * 500 + b"<script>alert(1)</script>"
            yield _case(f"{kind} with trailing bytes", data, accepted((64, 48), ORANGE))


def _case(name: str, data: bytes, expected: Expected) -> Case:
    return Case(name, data_uri(data), expected)


def _palettes() -> Iterator[Case]:
    palette = Image.new("RGB", (64, 48), ORANGE).convert("P", palette=Image.Palette.ADAPTIVE)
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        yield _case(f"{kind} palette", saved(palette, kind), accepted((64, 48), ORANGE))
    index = palette.getpixel((0, 0))
    for kind in ("PNG", "GIF"):
        data = saved(palette, kind, transparency=index)
        yield _case(f"{kind} transparent palette", data, accepted((64, 48), (255, 255, 255)))
    yield _case("PNG 16-bit RGB", deep_png((64, 48)), accepted((64, 48), ORANGE))
    for packing in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        data = saved(Image.new("RGB", (64, 48), ORANGE), "TIFF", compression=packing)
        yield _case(f"TIFF {packing}", data, accepted((64, 48), ORANGE))
    progressive = saved(Image.new("RGB", (64, 48), ORANGE), "JPEG", progressive=True)
    yield _case("JPEG progressive", progressive, accepted((64, 48), ORANGE))


def _animated() -> Iterator[Case]:
    first, other = Image.new("RGB", (64, 48), ORANGE), Image.new("RGB", (64, 48), (0, 0, 255))
    for kind in ("GIF", "PNG", "WEBP", "TIFF", "AVIF"):
        data = saved(first, kind, save_all=True, append_images=[other] * 5)
        yield _case(f"{kind} animated", data, accepted((64, 48), ORANGE))
    mpo = saved(first, "MPO", save_all=True, append_images=[other])
    yield _case("MPO of two pictures", mpo, accepted((64, 48), ORANGE))
    frames = [Image.new("L", (64, 48), n % 256) for n in range(2000)]
    for kind in ("GIF", "WEBP"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=10)
        yield _case(f"{kind} of 2,000 frames", data, accepted((64, 48), (0, 0, 0)))
    shown = Image.new("RGB", (64, 48), (255, 255, 255))
    shown.paste(ORANGE, (16, 12, 48, 36))
    for kind in ("GIF", "PNG", "WEBP", "AVIF"):
        blank = [Image.new("RGB", (64, 48), (255, 255, 255)), Image.new("RGB", (64, 48))]
        data = saved(blank[0], kind, save_all=True, append_images=[*blank[1:], shown, other])
        yield _case(f"{kind} whose first frames are blank", data, accepted((64, 48), ORANGE))


def _rotated() -> Iterator[Case]:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        for orientation in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            data = saved(Image.new("RGB", (64, 48), ORANGE), kind, exif=exif)
            size = (48, 64) if orientation in (5, 6, 7, 8) else (64, 48)
            yield _case(f"{kind} orientation {orientation}", data, accepted(size, ORANGE))


def _shapes() -> Iterator[Case]:
    for size, out in (
        ((8, 8), (8, 8)),
        ((8, 800), (8, 800)),
        ((800, 8), (800, 8)),
        ((1024, 1024), (1024, 1024)),
        ((1025, 1024), (1024, 1023)),
        ((3000, 2000), (1024, 683)),
        ((2000, 3000), (683, 1024)),
        ((9000, 90), (1024, 10)),
        ((90, 9000), (10, 1024)),
    ):
        for kind in ("PNG", "JPEG", "WEBP"):
            data = flat(kind, size)
            yield _case(f"{kind} {size[0]} × {size[1]}", data, accepted(out, ORANGE))
    for size in ((1, 1), (7, 7), (7, 500), (500, 1), (5000, 40), (16000, 9)):
        for kind in ("PNG", "GIF", "WEBP"):
            name = f"{kind} {size[0]} × {size[1]}"
            yield _case(name, flat(kind, size), refused("nothing can be recognised"))


def _damaged_metadata() -> Iterator[Case]:
    """Broken metadata is no reason to refuse a picture."""
    jpeg = flat("JPEG")
    for name, block in {
        "EXIF of zeros": b"Exif\0\0" + bytes(200),
        "EXIF that ends early": b"Exif\0\0MM\0*\0\0\0\x08\0\x05",
        "EXIF with a loop": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\x08",
        "EXIF of 4 G values": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x04\0" + b"\xff" * 8,
        "EXIF of text": b"Exif\0\0" + b"<script>" * 100,
    }.items():
        segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
        data = jpeg[:2] + segment + jpeg[2:]
        yield _case(f"JPEG {name}", data, accepted((64, 48), ORANGE))
    profile = rgb_profile(PROPHOTO, PROPHOTO_GAMMA)
    link = profile[:12] + b"link" + profile[16:]
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        for name, broken in {
            "broken": b"no profile" * 50,
            "cut": profile[:300],
            "giant": profile + bytes(5_000_000),
            "of another class": link,
            "with a tag at 4 GB": profile[:148] + b"\xff" * 4 + profile[152:],
            "of 4 billion tags": profile[:128] + b"\xff" * 4 + profile[132:],
        }.items():
            data = saved(Image.new("RGB", (64, 48), ORANGE), kind, icc_profile=broken)
            yield _case(f"{kind} profile {name}", data, accepted((64, 48), ORANGE))
    comment = saved(Image.new("RGB", (64, 48), ORANGE), "JPEG", comment=b"\0\xff" * 30_000)
    yield _case("JPEG long comment", comment, accepted((64, 48), ORANGE))


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(size: Size, depth: int, kind: int, compressed: bytes, *before: bytes) -> bytes:
    """A PNG assembled by hand; `before` are chunks before the pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + b"".join(before)
        + chunk(b"IDAT", compressed)
        + chunk(b"IEND", b"")
    )


def deep_png(size: Size) -> bytes:
    """A PNG with 16 bits for each of red, green and blue, which Pillow does not write."""
    row = b"\0" + struct.pack(">HHH", *(value * 257 for value in ORANGE)) * size[0]
    return png(size, 16, 2, zlib.compress(row * size[1]))
