"""Float matrices in one byte a value or, where only the directions of rows count, in half a byte.

Tokens are compared by cosines, so that their lengths need no bits. In half a byte the rows are
turned first, by a fixed matrix that spreads what they have in common over all values: these are
then near normal with deviation 1 / √d whatever network made them, and one step, the best one for
fifteen levels (Max 1960, "Quantizing for minimum distortion"), fits all. QuIP (arXiv 2307.13304)
and TurboQuant (2504.19874) turn their rows for the same reason.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.errors import JuiceError

LEVELS, STEP = 7, 0.3534
"""So many on each side of 0, which stays 0, and the step between them in deviations."""

Codes = NDArray[np.int8]

_BYTES = np.arange(256, dtype=np.uint8).view(np.int8)
_PAIRS = np.stack([_BYTES << 4 >> 4, _BYTES >> 4], axis=1).view(np.int16).reshape(-1)
"""The two values of each byte, side by side, (256,)."""


class PackedMatrix(msgspec.Struct, frozen=True, array_like=True):
    """A float matrix of ``shape``, row-major.

    Of 8 bits a value it is ``values × scale``. Of 4 bits it is the directions of its rows: two
    values a byte, the first one low, of the turned rows, and ``scale`` is 1.
    """

    shape: tuple[int, int]
    scale: float
    values: bytes
    bits: Literal[4, 8] = 8

    @classmethod
    def pack(cls, matrix: Floats) -> PackedMatrix:
        """Pack a finite float matrix (n, d), 8 bits; a value is off by at most scale / 2."""
        rows, columns = matrix.shape
        peak = float(np.abs(matrix).max(initial=0.0))
        # Below float32's normal numbers the scale itself would vanish; such a matrix is zero.
        scale = peak / 127 if peak / 127 >= np.finfo(np.float32).tiny else 1.0
        values = np.rint(matrix / scale).astype(np.int8)
        return cls((rows, columns), scale, values.tobytes())

    @classmethod
    def pack_directions(cls, rows: Floats) -> PackedMatrix:
        """Pack the directions of finite rows (n, d), 4 bits.

        Of 64 values a direction keeps a cosine of .99 with itself.
        """
        count, width = rows.shape
        levels = unit(rows) @ turn(width) * np.float32(width**0.5 / STEP)
        codes = np.clip(np.rint(levels), -LEVELS, LEVELS).astype(np.int8).reshape(-1)
        pairs = np.append(codes, np.int8(0))[: 2 * -(-codes.size // 2)].reshape(-1, 2)
        values = (pairs[:, 0] & 15) | (pairs[:, 1] << 4)
        return cls((count, width), 1.0, values.astype(np.int8).tobytes(), 4)

    def codes(self) -> Codes:
        """The stored values, int8 (n, d); raises JuiceError where their number is another."""
        count = self.shape[0] * self.shape[1]
        if len(self.values) != -(-count * self.bits // 8):
            raise JuiceError(f"{len(self.values)} bytes do not fill a matrix of {self.shape}")
        if self.bits == 4:
            pairs = _PAIRS.take(np.frombuffer(self.values, np.uint8))
            return pairs.view(np.int8)[:count].reshape(self.shape)
        return np.frombuffer(self.values, np.int8).reshape(self.shape)

    def unpack(self) -> Floats:
        """Give the matrix back as float32 (n, d); of 4 bits, its rows have length 1, or 0."""
        codes = self.codes()
        if self.bits == 4:
            return unit(codes.astype(np.float32) @ turn(self.shape[1]).T)
        return codes.astype(np.float32) * np.float32(self.scale)


EMPTY = PackedMatrix((0, 0), 1.0, b"")


@cache
def turn(width: int) -> Floats:
    """The fixed orthonormal matrix (d, d): signs at random, then the discrete cosine transform."""
    at = np.arange(width)
    cosines = np.cos(np.pi / max(1, width) * (at[:, None] + 0.5) * at)
    cosines /= np.maximum(np.linalg.norm(cosines, axis=0), 1e-9)
    signs = np.random.default_rng(width).choice([-1.0, 1.0], size=(width, 1))
    turned: Floats = (signs * cosines).astype(np.float32)
    return turned
