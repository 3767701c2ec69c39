"""Pictures of one colour, and an encoder that sees nothing but colour and costs no time."""

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageColor

from models.embedding.layout import AS_COMPOSED, PartWeights
from models.embedding.protocol import Encoded, SearchEncoder
from models.images.letterbox import Picture
from models.juicer.caption import MAX_CHARACTERS
from models.juicer.juice import Juice
from models.juicer.packed_matrix import PackedMatrix

COLOURS = ("red", "lime", "blue", "cyan", "magenta", "yellow", "white", "gray", "olive", "navy")


class ColourEncoder(SearchEncoder):
    """Encodes the mean colour of a picture and the hash of a text, as a fake of the real encoder.

    `encoded` counts all inputs, `looked_at` those that were pixels, so that a test can see which
    pictures were juiced again.
    """

    model_id = "colour-8"
    dim = 8
    replaces_text = True

    def __init__(self) -> None:
        self.encoded = 0
        self.looked_at = 0

    def encode_items(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
    ) -> list[Encoded]:
        """One vector and its juice for each picture and text."""
        self.encoded += len(pictures)
        self.looked_at += sum(isinstance(picture, np.ndarray) for picture in pictures)
        return [self._one(p, t or "") for p, t in zip(pictures, texts, strict=True)]

    def encode_queries(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        weights: PartWeights = AS_COMPOSED,
    ) -> list[Encoded]:
        """The same for queries; there are no parts to weigh."""
        return [replace(one, weights=weights) for one in self.encode_items(pictures, texts)]

    def _one(self, picture: Picture | Encoded | None, text: str) -> Encoded:
        colour = np.zeros((1, self.dim), np.float32)
        if isinstance(picture, np.ndarray):
            colour[0, :3] = picture.reshape(-1, 3).mean(axis=0) / 255 + 0.1
        tokens = (
            picture.juice.token_matrix
            if isinstance(picture, Encoded)
            else PackedMatrix.pack(colour)
        )
        juice = Juice(grid=(1, 1), kept=(0,), caption=text[:MAX_CHARACTERS], token_matrix=tokens)
        vector = juice.tokens[0].copy()
        if text:
            vector[4 + hashlib.sha256(text.encode()).digest()[0] % 4] = 0.1
        if not vector.any():
            vector[3] = 1
        vector /= np.linalg.norm(vector)
        return Encoded(vector, juice)


def picture_uri(colour: str) -> str:
    """A `data:` URI of a small PNG of one colour."""
    return data_uri(pixels(colour))


def data_uri(picture: Picture) -> str:
    """A `data:` URI of a picture as a PNG."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()


def picture_png(colour: str) -> bytes:
    """A PNG of 16 × 16 pixels of one colour."""
    return png(pixels(colour))


def png(picture: Picture) -> bytes:
    """A PNG of a picture."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


def pixels(colour: str) -> Picture:
    """The picture itself: uint8 (16, 16, 3)."""
    return np.full((16, 16, 3), ImageColor.getrgb(colour), np.uint8)


PICTURES = {colour: picture_uri(colour) for colour in COLOURS}
"""The `data:` URI of each colour's picture."""
