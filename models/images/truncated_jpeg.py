"""JPEG pictures whose last bytes are missing: how much of them is there.

Browsers show them, so shops have them. libjpeg decodes what is there if the data ends in an
end-of-image marker, and leaves the rest at the middle grey; so no global option of Pillow
(LOAD_TRUNCATED_IMAGES) is needed. ITU-T T.81 §B has the markers, §G progressive pictures.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

from PIL import Image

from models.errors import PictureError
from models.images.flatten import channel_ranges

# Of the rows: with fewer, a product may look like another.
LEAST_SHARE = 0.9
MOST_SCANS = 100
END = b"\xff\xd9"
GREY = range(127, 130)
_EOI, _SOS, _PROGRESSIVE = 0xD9, 0xDA, 0xC2
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_NO_LENGTH = (0x01, 0xD8)
# In compressed data FF 00 stands for FF, and FF D0 to D7 are restart markers.
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)


@dataclass(frozen=True)
class _Scan:
    components: bytes
    first: int
    last: int
    exact: bool
    """Whether it brings the lowest bits."""


def completed(jpeg: bytes) -> bytes | None:
    """The picture with an end-of-image marker in place of what is missing.

    None if nothing is missing, or there is nothing to decode.

    Raises:
        PictureError: of a progressive picture, coefficients are missing altogether.
    """
    at, progressive, components = 2, False, b""
    scans: list[_Scan] = []
    while (marker := _MARKER.search(jpeg, at)) and len(scans) <= MOST_SCANS:
        code, at = marker[1][0], marker.end()
        if code == _EOI:
            return None
        if code in _NO_LENGTH:
            continue
        length = int.from_bytes(jpeg[at : at + 2])
        body, at = jpeg[at + 2 : at + length], at + max(2, length)
        if at > len(jpeg):
            jpeg = jpeg[: marker.start()]
            break
        if code in _FRAMES:
            progressive, components = code == _PROGRESSIVE, body[6::3]
        elif code == _SOS and len(body) >= 4:
            first, last, bits = body[-3:]
            scans.append(_Scan(body[1:-3:2], first, last, not bits & 15))
    if not scans or len(scans) > MOST_SCANS:
        return None
    if not progressive and len(scans) > 1:
        raise PictureError("the JPEG picture is truncated: some of its colours are missing")
    if progressive and not _all_begun(scans, components):
        raise PictureError("the JPEG picture is truncated: only a coarse version of it is there")
    return jpeg + END


def rows_present(image: Image.Image) -> int:
    """How many rows of a completed picture, from the top, came from the file."""
    width, height = image.size

    def missing_from(row: int) -> bool:
        rest = image.crop((0, row, width, height))
        return all(low in GREY and high in GREY for low, high in channel_ranges(rest))

    return bisect_left(range(height), True, key=missing_from)


def _all_begun(scans: list[_Scan], components: bytes) -> bool:
    """Whether the last scan was under way, for each coefficient of each component.

    Then what is missing is the lowest bit of some, or some detail in the last rows.
    """
    exact = {component: set[int]() for component in components}
    for scan in scans:
        for component in scan.components:
            if scan.exact and component in exact:
                exact[component].update(range(scan.first, min(scan.last, 63) + 1))
    return all(len(found) == 64 for found in exact.values())
