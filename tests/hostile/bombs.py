"""Decompression bombs: small files that take many pixels, much text or much time to decode."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from models.images.heic import INSTALLED
from tests.hostile.case import Case, Size, accepted, data_uri, refused
from tests.hostile.pictures import ORANGE, chunk, flat, heic_of, png, saved
from tests.hostile.zeros import zlib_zeros

LARGE: Size = (7700, 7700)  # 59.3 million pixels: just allowed
TOO_LARGE = "more (pixels )?than 60 million"


def bombs() -> Iterator[Case]:
    """Cases of every kind of bomb, and of the largest pictures that are allowed."""
    for name, data, reason in (
        ("PNG 65535²", png((65535, 65535), 8, 2, zlib.compress(bytes(1000))), TOO_LARGE),
        ("PNG 2³¹−1", png((2**31 - 1, 2**31 - 1), 1, 0, b""), TOO_LARGE),
        ("PNG 10⁶ × 100", png((1_000_000, 100), 1, 0, b""), TOO_LARGE),
        ("PNG 7746²", png((7746, 7746), 1, 0, solid(7746 // 8 + 1, 7746)), TOO_LARGE),
        ("PNG without rows", png((7000, 7000), 8, 2, zlib.compress(b"")), "damaged"),
        ("GIF 65535²", gif_of((65535, 65535)), TOO_LARGE),
        ("BMP 30000²", resized(flat("BMP"), 18, "<ii", (30000, 30000)), TOO_LARGE),
        ("BMP 2³¹−1 upside down", resized(flat("BMP"), 18, "<ii", (2**31 - 1, -(2**31))), ""),
        ("JPEG 65500²", jpeg_of((65500, 65500)), TOO_LARGE),
        ("WebP 16383²", webp((16383, 16383)), TOO_LARGE),
        ("WebP 9000²", webp((9000, 9000)), TOO_LARGE),
        ("WebP of too much memory", webp(LARGE), "too large for the memory there is"),
        ("WebP canvas 2²⁴ × 2²⁴", webp_canvas((1 << 24, 1 << 24)), ""),
        ("TIFF 10⁵ × 10⁵", tiff((100_000, 100_000)), TOO_LARGE),
        ("TIFF 2³²−1", tiff((2**32 - 1, 2**32 - 1)), ""),
        ("TIFF of 4 G entries", flat("TIFF")[:8] + b"\xff\xff" + b"\x01\x01\x04\0" * 900, ""),
        ("AVIF 60000²", avif((60000, 60000)), ""),
    ):
        yield Case(f"{name} bomb", data_uri(data), refused(reason))
    yield from _text_bombs()
    yield from _frame_bombs()
    yield from _heic_bombs()
    yield from _allowed()
    hang = data_uri(scans((2000, 2000), 200_000))
    yield Case("JPEG of 200,000 scans", hang, refused("took longer than"))


def _allowed() -> Iterator[Case]:
    """Large, but within the limits: these must be accepted."""
    white = (255, 255, 255)
    for name, data, out, colour in (
        ("PNG grey", png(LARGE, 8, 0, solid(LARGE[0], LARGE[1], 0xFF)), (1024, 1024), white),
        ("PNG RGBA", png(LARGE, 8, 6, solid(4 * LARGE[0], LARGE[1])), (1024, 1024), white),
        ("PNG 16-bit", png(LARGE, 16, 0, solid(2 * LARGE[0], LARGE[1], 0xFF)), (1024, 1024), white),
        ("PNG long", png((70_000, 800), 1, 0, solid(8750, 800, 0xFF)), (1024, 12), white),
        ("WebP", webp((4400, 4400)), (1024, 1024), (0, 0, 0)),
        ("JPEG", saved(Image.new("L", LARGE, 90), "JPEG"), (1024, 1024), (90, 90, 90)),
    ):
        yield Case(f"{name}, as large as may be", data_uri(data), accepted(out, colour))


def _text_bombs() -> Iterator[Case]:
    """Compressed text beside the pixels, which nothing reads: it must be refused."""
    bomb = zlib_zeros(100)
    pixels = zlib.compress((b"\0" + bytes(ORANGE) * 64) * 48)
    for name, chunks in {
        "zTXt": [chunk(b"zTXt", b"Comment\0\0" + bomb)],
        "many zTXt": [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(900_000)))] * 100,
        "iTXt": [chunk(b"iTXt", b"Comment\0\x01\0\0\0" + bomb)],
    }.items():
        yield Case(f"PNG {name} bomb", data_uri(png((64, 48), 8, 2, pixels, *chunks)), refused())
    profile = chunk(b"iCCP", b"x\0\0" + bomb)
    data = png((64, 48), 8, 2, pixels, profile)
    # A profile is no reason to refuse a picture.
    yield Case("PNG iCCP bomb", data_uri(data), accepted((64, 48), ORANGE))


def _frame_bombs() -> Iterator[Case]:
    """Animations that begin with a blank frame: what comes later must cost nothing."""
    black = (0, 0, 0)
    grey = [Image.new("L", (64, 48), n) for n in range(3)]
    gif = bytearray(saved(grey[0], "GIF", save_all=True, append_images=grey[1:]))
    last = gif.rindex(b",\0\0\0\0")
    gif[last + 5 : last + 9] = struct.pack("<HH", 65535, 65535)
    yield Case("GIF whose third frame is 65535²", data_uri(bytes(gif)), accepted((64, 48), black))
    row, size = zlib.compress(bytes(65 * 48)), struct.pack(">II", 64, 48)
    frames = [chunk(b"acTL", struct.pack(">II", 4_000_000, 0)), _frame(0, size)]
    later = [
        _frame(1, struct.pack(">II", 2**31 - 1, 2**31 - 1)),
        chunk(b"fdAT", struct.pack(">I", 2) + zlib_zeros(100)),
    ]
    data = png((64, 48), 8, 0, row, *frames)[:-12] + b"".join(later) + chunk(b"IEND", b"")
    yield Case("APNG of 4 million frames", data_uri(data), accepted((64, 48), black))
    large = [Image.new("L", (3000, 2000), 0)] * 30
    for kind in ("GIF", "WEBP"):
        data = saved(large[0], kind, save_all=True, append_images=large[1:], minimize_size=False)
        yield Case(f"{kind} of 30 large frames", data_uri(data), accepted((1024, 683), black))


def _frame(number: int, size: bytes) -> bytes:
    """The fcTL chunk of an APNG's frame."""
    return chunk(b"fcTL", struct.pack(">I", number) + size + bytes(8) + b"\0\x01\0\x0a\0\0")


def _heic_bombs() -> Iterator[Case]:
    """Files that claim another size than they have; all are refused, with the extra or without."""
    if not INSTALLED:
        return
    data = heic_of(Image.new("RGB", (64, 48), ORANGE))
    at = data.index(b"ispe") + 8
    for size in ((60_000, 60_000), (8000, 8000), (7700, 7700), (2**32 - 1, 2**32 - 1), (8, 8)):
        bomb = resized(data, at, ">II", size)
        yield Case(f"HEIC {size[0]} × {size[1]} bomb", data_uri(bomb), refused())
    large = heic_of(Image.new("RGB", (2000, 2000), ORANGE))
    small = resized(large, large.index(b"ispe") + 8, ">II", (64, 48))
    yield Case("HEIC larger than it claims", data_uri(small), refused())


def solid(row_bytes: int, rows: int, value: int = 0) -> bytes:
    """The compressed pixels of a PNG of one value, made row by row to save memory."""
    compressor = zlib.compressobj(1)
    row = b"\0" + bytes([value]) * row_bytes
    return b"".join([*(compressor.compress(row) for _ in range(rows)), compressor.flush()])


def resized(data: bytes, at: int, layout: str, size: Size) -> bytes:
    """The file with another size written into its header."""
    packed = struct.pack(layout, *size)
    return data[:at] + packed + data[at + len(packed) :]


def gif_of(size: Size) -> bytes:
    """A GIF whose headers of canvas and first frame claim this size."""
    data = bytearray(flat("GIF"))
    data[6:10] = struct.pack("<HH", *size)
    frame = data.index(b",\0\0\0\0")
    data[frame + 5 : frame + 9] = struct.pack("<HH", *size)
    return bytes(data)


def jpeg_of(size: Size) -> bytes:
    """A JPEG whose header claims this size."""
    data = flat("JPEG")
    return resized(data, data.index(b"\xff\xc0") + 5, ">HH", size)


def webp(size: Size) -> bytes:
    """A lossless WebP of one colour: a few bytes for any size, because a pixel takes no bits.

    RFC 9649 §3: five prefix codes of one symbol each, no transform, no colour cache.
    """
    bits = [(size[0] - 1, 14), (size[1] - 1, 14), (0, 1), (0, 3)]
    bits += [(0, 1), (0, 1), (0, 1)]  # no transform, no colour cache, one group of codes
    bits += [(1, 1), (0, 1), (0, 1), (0, 1)] * 5  # a simple code, of one symbol, of one bit: 0
    number = shift = 0
    for value, width in bits:
        number |= value << shift
        shift += width
    stream = b"\x2f" + number.to_bytes(shift // 8 + 1, "little")
    stream += b"\0" * (len(stream) % 2)
    body = b"WEBPVP8L" + struct.pack("<I", len(stream)) + stream
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_canvas(size: Size) -> bytes:
    """An extended WebP whose canvas has this size."""
    canvas = b"\0\0\0\0" + (size[0] - 1).to_bytes(3, "little") + (size[1] - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas + webp((16, 16))[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(size: Size) -> bytes:
    """A grey, deflate-compressed TIFF that claims this size, in one strip."""
    strip = zlib.compress(bytes(1000))
    tags = [
        (256, 4, size[0]),
        (257, 4, size[1]),
        (258, 3, 8),
        (259, 3, 8),
        (262, 3, 1),
        (273, 4, 200),
        (277, 3, 1),
        (278, 4, size[1]),
        (279, 4, len(strip)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
    return head.ljust(200, b"\0") + strip


def avif(size: Size) -> bytes:
    """An AVIF whose `ispe` property claims this size."""
    data = flat("AVIF")
    return resized(data, data.index(b"ispe") + 8, ">II", size)


def scans(size: Size, count: int) -> bytes:
    """A progressive JPEG with its last scan `count` times: few bytes, long to decode."""
    out = io.BytesIO()
    Image.new("L", size, 90).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]
