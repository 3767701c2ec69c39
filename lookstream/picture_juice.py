"""One picture's juice: what counts in it, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.arrays import Box, Floats
from models.embedding.load import load_encoder
from models.images.files import open_picture
from models.images.letterbox import Picture

if TYPE_CHECKING:
    from models.embedding.encoder import Encoder


@dataclass(frozen=True, eq=False)
class PictureJuice:
    """What is extracted of one picture.

    Attributes:
        box: around the patches that count: x0, y0, x1, y1 in shares of width and height.
        heat: how much each patch counts, float32 (rows, columns), 0..1, over the picture centred
            on a padded square.
        kept: row and column of the patches that tokens were made of, most salient first.
        tokens: one of each of them, and one of all others together, float32 (K + 1, d), each of
            length 1.
        classes: names of what it shows with their probability, most probable first.
        caption: the text with probable classes that it lacks.
        model_id: what made it: juice of two model ids is not comparable.
    """

    box: Box
    heat: Floats
    kept: tuple[tuple[int, int], ...]
    tokens: Floats
    classes: tuple[tuple[str, float], ...]
    caption: str
    model_id: str


def juice(
    picture: str | Path | Picture, text: str = "", encoder: Encoder | None = None
) -> PictureJuice:
    """The juice of a picture, as an item of a catalog has it.

    Args:
        picture: a file, or pixels, uint8 (h, w, 3).
        text: its title, which the caption begins with.
        encoder: of `load_encoder`; by default the packaged one, loaded once.

    Raises:
        PictureError: there is no picture, or it is smaller than 8 × 8.
    """
    pixels = picture if isinstance(picture, np.ndarray) else open_picture(Path(picture))
    used = encoder or _packaged()
    [encoded] = used.encode_items([pixels], [text])
    made = encoded.juice
    rows, columns = made.grid
    bytes_of_patches = np.frombuffer(made.saliency, np.uint8).reshape(rows, columns)
    heat = bytes_of_patches.astype(np.float32) / np.float32(255)
    return PictureJuice(
        box=made.box,
        heat=heat,
        kept=tuple(divmod(patch, columns) for patch in made.kept),
        tokens=made.tokens,
        classes=made.classes,
        caption=made.caption,
        model_id=used.model_id,
    )


@lru_cache(maxsize=1)
def _packaged() -> Encoder:
    return load_encoder()
