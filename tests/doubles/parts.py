"""An encoder whose vectors have parts, and pictures that differ in both of them."""

import numpy as np
from PIL import Image

from models.arrays import Floats, unit
from models.embedding.layout import (
    APPEARANCE_WIDTH,
    COLOUR_WIDTH,
    PartWeights,
    PictureParts,
    compose_item,
)
from models.embedding.protocol import Encoded
from models.images.letterbox import Picture
from tests.doubles.colours import ColourEncoder


class PartsEncoder(ColourEncoder):
    """Sees how bright a picture's pixels are as its appearance, and their hues as its colour.

    `blurred` is the part that has little to do with what the picture shows.
    """

    model_id = "parts-64"
    dim = 64
    has_parts = True

    def __init__(self, blurred: str = "appearance") -> None:
        super().__init__()
        self._blurred = blurred

    def part_weights(self, items: Floats) -> PartWeights:
        return PartWeights.with_identity(0.25)

    def _one(self, picture: Picture | Encoded | None, text: str) -> Encoded:
        if isinstance(picture, Encoded):
            return picture
        assert isinstance(picture, np.ndarray)
        hue, _, brightness = np.moveaxis(np.asarray(Image.fromarray(picture).convert("HSV")), 2, 0)
        parts = {
            name: np.histogram(channel, 8, (0, 256))[0] / channel.size - 1 / 8
            for name, channel in (("appearance", brightness), ("colour", hue))
        }
        noise = np.random.default_rng(picture.astype(np.uint32).sum())
        for name, width in (("appearance", APPEARANCE_WIDTH), ("colour", COLOUR_WIDTH)):
            seen = unit(np.pad(parts[name], (0, width - len(parts[name]))))
            away = np.pad(noise.normal(size=3), (0, width - 3)) * (name == self._blurred)
            parts[name] = unit((seen + away).astype(np.float32))
        vector = compose_item(
            PictureParts(None, parts["appearance"], parts["colour"]), None, dim=self.dim
        )
        return Encoded(vector, super()._one(picture, text).juice)


def painted(number: int) -> Picture:
    """A picture of small tiles in several hues and brightnesses; their shares are its own."""
    rng = np.random.default_rng(number)
    hue, brightness = (
        rng.choice(np.arange(16, 256, 32), (24, 24), p=rng.dirichlet(np.ones(8))) for _ in range(2)
    )
    tiles = np.stack([hue, np.full((24, 24), 160), brightness], axis=2).astype(np.uint8)
    picture = Image.fromarray(tiles, "HSV").convert("RGB")
    return np.asarray(picture.resize((96, 96), Image.Resampling.NEAREST))
