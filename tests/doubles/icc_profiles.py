"""Small ICC profiles (ICC.1:2001-04), and the colours in them by formula.

Pillow makes only profiles of sRGB, Lab and XYZ. These are like Adobe RGB and ProPhoto, of a grey
with any gamma, and of CMYK by a table of its corners.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

WHITE = np.array([0.9642, 1.0, 0.8249])  # D50
# Columns: X, Y, Z of the full red, green and blue, adapted to D50.
SRGB: Matrix = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]]
)
ADOBE_RGB: Matrix = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)
PROPHOTO: Matrix = np.array(
    [[0.79767, 0.13519, 0.03134], [0.28804, 0.71188, 0.00009], [0.0, 0.0, 0.82491]]
)
ADOBE_GAMMA, PROPHOTO_GAMMA = 563 / 256, 1.8125  # in steps of 1/256


def profile(
    channels: bytes, tags: Mapping[bytes, bytes], *, kind: bytes = b"mntr", pcs: bytes = b"XYZ "
) -> bytes:
    """A profile of these tags; `kind` is its class, `pcs` the space that it converts to."""
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", start + len(body), len(tag))
        body += tag.ljust(-(-len(tag) // 4) * 4, b"\0")
    head = struct.pack(">I4sI", start + len(body), b"none", 0x02400000) + kind + channels + pcs
    head = head.ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + _fixed(WHITE)
    return head.ljust(128, b"\0") + table + body


def rgb_profile(primaries: Matrix, gamma: float | Sequence[int]) -> bytes:
    """A profile of a matrix, and a gamma or a table of 16-bit values for all three channels."""
    tags = {b"wtpt": _xyz(WHITE)}
    tags |= {b"%cXYZ" % name: _xyz(primaries[:, i]) for i, name in enumerate(b"rgb")}
    return profile(b"RGB ", tags | {b"%cTRC" % name: _curve(gamma) for name in b"rgb"})


def srgb_profile() -> bytes:
    """SRGB with its curve as a table of 1024 values, as most files have it."""
    linear = srgb_to_linear(np.linspace(0, 1, 1024))
    return rgb_profile(SRGB, [round(65535 * value) for value in linear])


def grey_profile(gamma: float) -> bytes:
    """A profile of greys."""
    return profile(b"GRAY", {b"wtpt": _xyz(WHITE), b"kTRC": _curve(gamma)})


def cmyk_profile(lab: Sequence[Sequence[float]]) -> bytes:
    """A profile of printing by the Lab colours of its 16 corners: no ink, K, Y, YK, M, and so on.

    A lut8Type (ICC.1 §6.5.9) with curves that change nothing.
    """
    identity = bytes(range(256))
    corners = bytes(
        round(value) for lightness, a, b in lab for value in (lightness * 2.55, a + 128, b + 128)
    )
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + _fixed(np.eye(3).reshape(-1))
    table += identity * 4 + corners + identity * 3
    return profile(b"CMYK", {b"wtpt": _xyz(WHITE), b"A2B0": table}, kind=b"prtr", pcs=b"Lab ")


def by_formula(pixels: NDArray[np.uint8], primaries: Matrix, gamma: float) -> Matrix:
    """Pixels (…, 3) of such a profile as sRGB, 0..255; what sRGB lacks is clipped."""
    return xyz_to_srgb((pixels / 255.0) ** gamma @ primaries.T)


def in_profile(srgb: NDArray[np.uint8], primaries: Matrix, gamma: float) -> NDArray[np.uint8]:
    """SRGB pixels (…, 3) as the pixels of such a profile."""
    linear = srgb_to_linear(srgb / 255.0) @ SRGB.T @ np.linalg.inv(primaries).T
    return np.round(255 * np.clip(linear, 0, 1) ** (1 / gamma)).astype(np.uint8)


def lab_to_srgb(lab: Sequence[float]) -> Matrix:
    """A Lab colour (D50) as sRGB, 0..255."""
    lightness, a, b = lab
    y = (lightness + 16) / 116
    f = np.array([y + a / 500, y, y - b / 200])
    return xyz_to_srgb(WHITE * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)))


def xyz_to_srgb(xyz: Matrix) -> Matrix:
    """XYZ (…, 3), D50, as sRGB, 0..255, clipped."""
    linear = np.clip(xyz @ np.linalg.inv(SRGB).T, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(255 * curved)


def srgb_to_linear(value: Matrix) -> Matrix:
    """The curve of IEC 61966-2-1, 0..1."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _xyz(values: Matrix) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: Matrix) -> bytes:
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _curve(gamma: float | Sequence[int]) -> bytes:
    if isinstance(gamma, int | float):
        return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    return b"curv" + bytes(4) + struct.pack(f">I{len(gamma)}H", len(gamma), *gamma)
