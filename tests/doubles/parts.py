"""An encoder whose vectors have parts, and pictures that differ in both of them."""

import numpy as np

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
    """Sees how bright and dark a picture is as its appearance, and its hue as its colour.

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
        assert isinstance(picture, np.ndarray)
        bright = picture.max(axis=2) / picture.max()
        parts = {
            "appearance": np.histogram(bright, 8, (0, 1))[0] / bright.size - 1 / 8,
            "colour": picture.mean(axis=(0, 1)) / picture.sum(axis=2).mean() - 1 / 3,
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
    """A picture of three levels of brightness in one hue, both of them its own."""
    rng = np.random.default_rng(number)
    levels = np.append(rng.uniform(0.1, 0.9, 2), 1.0)
    blocks = np.kron(rng.choice(levels, (8, 8)), np.ones((8, 8)))
    return (blocks[..., None] * rng.uniform(0.2, 1, 3) * 255).astype(np.uint8)
