"""An encoder of parts that no chance is in: a hue is the colour, a height the appearance."""

import hashlib

import numpy as np
from PIL import Image

from models.embedding.layout import (
    APPEARANCE_WIDTH,
    COLOUR_WIDTH,
    PictureParts,
    compose_item,
    replace_text,
)
from models.embedding.protocol import Encoded
from models.images.letterbox import Picture
from models.juicer.juice import Juice
from tests.doubles.colours import ColourEncoder

COLOURS = ("red", "green", "blue")
KINDS = (("Women", "Dresses"), ("Women", "Tops"), ("Men", "Tops"))


class PartedEncoder(ColourEncoder):
    """Sees the hue of a picture as its colour, and its height as its appearance."""

    model_id = "parted-64"
    dim = 64
    has_parts = True

    def _one(self, picture: Picture | Encoded | None, text: str) -> Encoded:
        if isinstance(picture, Encoded):
            vector = picture.vector
        elif picture is None:
            vector = np.zeros(self.dim, np.float32)
        else:
            appearance, colour = np.zeros(APPEARANCE_WIDTH), np.zeros(COLOUR_WIDTH)
            appearance[picture.shape[0] // 16 % 4] = 1
            colour[int(picture[0, 0].argmax())] = 1
            parts = PictureParts(None, appearance.astype(np.float32), colour.astype(np.float32))
            vector = compose_item(parts, None, dim=self.dim)
        words = np.zeros(127, np.float32)
        words[hashlib.sha256(text.encode()).digest()[0] % 8] = 1
        return Encoded(replace_text(vector, words if text else None), Juice(caption=text))


def shown(colour: int, kind: int) -> Picture:
    return np.asarray(Image.new("RGB", (16, 16 * (kind + 1)), COLOURS[colour]))
