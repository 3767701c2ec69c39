"""Files that are no pictures, or damaged ones: other kinds, truncated, random, flipped bits.

The same cases for the same state of `rng`.
"""

from __future__ import annotations

import io
import random
import zipfile
import zlib
from collections.abc import Iterator

from tests.hostile.case import Case, accepted, accepted_or_refused, data_uri, refused
from tests.hostile.pictures import FORMATS, noisy

SIZE = (160, 120)
# The pixels of a file of `noisy` begin before this offset: a flipped bit after it changes neither
# the size nor the format.
PIXELS_FROM = {
    "JPEG": 700,
    "PNG": 60,
    "WEBP": 60,
    "GIF": 900,
    "BMP": 60,
    "TIFF": 400,
    "AVIF": 400,
}
MAGIC = {
    "JPEG": b"\xff\xd8\xff\xe0",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "WEBP": b"RIFF\x24\x10\x00\x00WEBP",
    "GIF": b"GIF89a",
    "BMP": b"BM",
    "TIFF": b"II*\0\x08\0\0\0",
    "AVIF": b"\0\0\0\x1cftypavif",
}


def other_files() -> Iterator[Case]:
    """Files of other kinds, which the refusal must name."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", b"x")
    for name, data, reason in (
        ("HTML", b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        ("HTML after spaces", b"\n\n  <HTML><img src=x onerror=y>", "an HTML page"),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        ("SVG with a head", b"<?xml version='1.0'?><!-- x --><svg/>", "an SVG drawing"),
        ("XML entity bomb", b"<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a 'a'>]>", "an XML"),
        ("JSON", b'{"error": "not found"}', "JSON"),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF"),
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        ("PostScript in DOS", b"\xc5\xd0\xd3\xc6" + bytes(40), "PostScript"),
        ("ZIP", archive.getvalue(), "a ZIP archive"),
        ("gzip", b"\x1f\x8b\x08" + bytes(20), "a compressed file"),
        ("ELF", b"\x7fELF" + bytes(60), "a program"),
        ("EXE", b"MZ" + bytes(60), "a program"),
        ("Photoshop", b"8BPS\0\x01" + bytes(60), "a Photoshop file"),
        ("icon", b"\0\0\x01\0\x01\0" + bytes(60), "an icon file"),
        ("HEIC", b"\0\0\0\x18ftypheic" + bytes(60), "HEIC"),
        ("MP4", b"\0\0\0\x18ftypisom" + bytes(60), "a video"),
        ("WebM", b"\x1aE\xdf\xa3" + bytes(60), "a video"),
        ("JPEG XL", b"\xff\x0a" + bytes(60), "a JPEG XL picture"),
        ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60), "a JPEG 2000 picture"),
        ("PPM", b"P6\n2 2\n255\n" + bytes(12), "no picture"),
        ("TGA", b"\0\0\x02" + bytes(9) + b"\x08\0\x08\0\x18\0" + bytes(192), "no picture"),
        ("FITS", b"SIMPLE  =                    T" + bytes(2850), "no picture"),
        ("text", b"hello", "no picture"),
        ("a shell script", b"#!/bin/sh\nrm -rf /\n", "no picture"),
        ("one byte", b"\x89", "no picture"),
        ("zeros", bytes(5000), "no picture"),
        ("spaces", b" " * 100_000, "no picture"),
        ("open brackets", b"[" * 100_000, "no picture"),
    ):
        yield Case(f"{name} instead of a picture", data_uri(data), refused(reason))


def truncated(rng: random.Random) -> Iterator[Case]:
    """Truncated pictures."""
    for kind in FORMATS:
        data = noisy(kind)
        for part in (*(rng.uniform(0.05, 0.8) for _ in range(8)), 0.5, 0.8):
            yield Case(
                f"{kind} cut at {part:.3f}", data_uri(data[: int(len(data) * part)]), refused()
            )
        yield Case(f"{kind} of its magic alone", data_uri(MAGIC[kind]), refused())
    jpeg = noisy("JPEG")
    for missing in (1, 2, 3, 10, 100):
        name = f"JPEG without its last {missing} bytes"
        yield Case(name, data_uri(jpeg[:-missing]), accepted(SIZE))


def random_bytes(rng: random.Random) -> Iterator[Case]:
    """Random bytes, alone and behind a format's magic; one format's magic on another's body."""
    for number in range(12):
        data = rng.randbytes(rng.randrange(1, 5000))
        yield Case(f"random bytes {number}", data_uri(data), refused())
    for kind in FORMATS:
        for number in range(4):
            data = MAGIC[kind] + rng.randbytes(rng.randrange(20, 5000))
            yield Case(f"{kind} magic and random bytes {number}", data_uri(data), refused())
        for other in FORMATS:
            if other != kind:
                data = MAGIC[kind] + noisy(other)[len(MAGIC[kind]) :]
                yield Case(f"{kind} magic on {other}", data_uri(data), refused())


def damaged_pixels(rng: random.Random, per_format: int) -> Iterator[Case]:
    """Damage among the pixels: bits flipped, 32 bytes overwritten."""
    for kind in FORMATS:
        data, first = noisy(kind), PIXELS_FROM[kind]
        for number in range(per_format):
            damaged = bytearray(data)
            for _ in range(rng.choice((1, 1, 4, 32))):
                damaged[rng.randrange(first, len(data))] ^= 1 << rng.randrange(8)
            yield Case(
                f"{kind} flipped bits {number}", data_uri(bytes(damaged)), accepted_or_refused(SIZE)
            )
            damaged = bytearray(data)
            start = rng.randrange(first, len(data) - 40)
            damaged[start : start + 32] = rng.choice((bytes(32), b"\xff" * 32, rng.randbytes(32)))
            yield Case(
                f"{kind} overwritten {number}", data_uri(bytes(damaged)), accepted_or_refused(SIZE)
            )


def damaged_checksums(rng: random.Random) -> Iterator[Case]:
    """Damage that a checksum or a length reveals: these must be refused."""
    data = noisy("PNG")
    body = data.index(b"IDAT") + 4
    for number in range(6):
        damaged = bytearray(data)
        damaged[body + rng.randrange(2)] ^= 0xFF  # the header of the zlib stream
        yield Case(f"PNG broken stream {number}", data_uri(bytes(damaged)), refused("damaged"))
    broken = data[: body - 8] + zlib.compress(b"") + data[body + 20 :]
    yield Case("PNG without its chunk", data_uri(broken), refused())
