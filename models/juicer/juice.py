"""Juice: what is extracted from a picture and its text once, and stored with the item.

DataJuicer (arXiv 2503.14559) extracts the salient patches and object classes of a sample instead of
filtering whole samples. Lookstream juices every item and every query with the same code and stores
the result beside the vector, so that the reranker never opens a picture again (law 4).

The formats (packed matrices, msgpack) are ours: 17 tokens of 64 dimensions take 544 bytes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from models.arrays import Box, Floats, unit
from models.errors import JuiceError
from models.juicer.packed_matrix import EMPTY, PackedMatrix

MAX_BYTES = 4096
"""No juice is larger: it travels with every row of the index."""


class Juice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The juice of one item or query; every field is empty where its source is missing.

    Patches are cells of ``grid`` (rows, columns), numbered row-major over the picture centred on a
    padded square (``models.images.letterbox.letterbox``); ``box`` is relative to the picture
    itself.
    """

    format: Literal[1, 2] = 2
    """1 was written before tokens had 4 bits a value; it is read as before."""
    grid: tuple[int, int] = (0, 0)
    kept: tuple[int, ...] = ()
    """Kept patches, most salient first."""
    saliency: bytes = b""
    """One byte per patch: how much of it is product, 0 (background) to 255."""
    box: Box = (0.0, 0.0, 1.0, 1.0)
    """Around the product: x0, y0, x1, y1, relative, 0 to 1."""
    classes: tuple[tuple[str, float], ...] = ()
    """Object classes of the kept patches with their probability, most probable first."""
    caption: str = ""
    """The title, enriched with probable classes that it lacks."""
    token_matrix: PackedMatrix = EMPTY
    colour_matrix: PackedMatrix = EMPTY
    text_matrix: PackedMatrix = EMPTY

    @property
    def has_picture(self) -> bool:
        """Whether a picture was juiced."""
        return self.token_matrix.shape[0] > 0

    @property
    def tokens(self) -> Floats:
        """Tokens (K + 1, d), each of length 1: the kept patches, then the fused remainder.

        (0, 0) without a picture.
        """
        return unit(self.token_matrix.unpack())

    @property
    def colour(self) -> Floats:
        """Colour descriptor (c,) of length 1; (0,) without a picture."""
        return unit(self.colour_matrix.unpack()).reshape(-1)

    @property
    def text(self) -> Floats:
        """Sentence vector (t,) of length 1 of title and description; (0,) without a text."""
        return unit(self.text_matrix.unpack()).reshape(-1)

    def cut_to_fit(self) -> Juice:
        """As much of the caption as ``MAX_BYTES`` leave room for: a network with many patches, and
        a script of several bytes a character, can exceed them. The row keeps the whole text.
        """
        excess = len(msgspec.msgpack.encode(self)) - MAX_BYTES
        if excess <= 0:
            return self
        caption = self.caption.encode()[:-excess].decode(errors="ignore")
        return msgspec.structs.replace(self, caption=caption)

    def to_bytes(self) -> bytes:
        """Encode as msgpack, at most ``MAX_BYTES``; raises JuiceError when it would be more."""
        data = msgspec.msgpack.encode(self)
        if len(data) > MAX_BYTES:
            raise JuiceError(f"the juice takes {len(data)} bytes, {MAX_BYTES} are allowed")
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Juice:
        """Decode what ``to_bytes`` made; raises JuiceError on anything else."""
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise JuiceError(
                f"stored juice cannot be read ({error}); index the item again"
            ) from error
