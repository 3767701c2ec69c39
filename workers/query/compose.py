"""The vector of a query: of pictures, of products that are stored, and of words, weighed.

Each picture that is wanted is encoded with the words, each that is not without. The vector is their
sum by weight. What is reranked is compared with the juice of the picture that weighs most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from index.item import Item
from models.embedding.layout import PartWeights
from models.embedding.protocol import CatalogEncoder, Encoded
from models.errors import ModelError
from models.images.letterbox import MIN_SIDE, Picture
from models.juicer.juice import Juice

LEAST = 1e-3
"""The shortest sum of vectors that still says what is wanted."""


class QueryCancelsOut(ModelError):
    """What is wanted and what is not are the same."""


class BoxTooSmall(ModelError):
    """A box leaves too little of a picture."""


@dataclass(frozen=True, eq=False)
class WeighedPicture:
    """A picture of a query, or a part of one; a weight below 0 says that it is not wanted."""

    picture: Picture
    weight: float = 1.0


def crop(picture: Picture, box: tuple[float, float, float, float]) -> Picture:
    """The part of a picture in a box of shares of its width and height.

    Raises:
        BoxTooSmall: less than 8 pixels are left on a side.
    """
    height, width = picture.shape[:2]
    left, right = round(box[0] * width), round(box[2] * width)
    top, bottom = round(box[1] * height), round(box[3] * height)
    if min(right - left, bottom - top) < MIN_SIDE:
        raise BoxTooSmall(
            f"the box leaves {right - left} × {bottom - top} of {width} × {height} pixels: at "
            f"least {MIN_SIDE} on a side are needed"
        )
    return np.ascontiguousarray(picture[top:bottom, left:right])


def compose(
    encoder: CatalogEncoder,
    pictures: Sequence[WeighedPicture],
    liked: Sequence[Item],
    text: str | None,
    weights: PartWeights,
) -> Encoded:
    """Encode a query.

    Args:
        encoder: the catalog's.
        pictures: of the query.
        liked: stored items to find more of, with vectors; together they weigh as one picture.
        text: words.
        weights: how much the parts of a picture count.

    Raises:
        ModelError: the encoder refuses a picture or the words, or they cancel out.
    """
    if not liked and len(pictures) <= 1 and all(one.weight > 0 for one in pictures):
        only = pictures[0].picture if pictures else None
        return encoder.encode_queries([only], [text], weights)[0]
    inputs: list[tuple[Picture | Encoded | None, str | None, float]] = [
        (one.picture, text if one.weight > 0 else None, one.weight) for one in pictures
    ]
    stored: list[tuple[Encoded, float]] = []
    for item in liked:
        juice = Juice.from_bytes(item.juice)
        assert item.vector is not None  # noqa: S101 - read with vectors
        as_stored = Encoded(item.vector, juice, weights)
        if encoder.has_parts and juice.has_picture:
            inputs.append((as_stored, text, 1 / len(liked)))
        else:  # words only, or of an encoder that does not take them apart
            stored.append((as_stored, 1 / len(liked)))
    if (text or "").strip() and not any(words for _, words, _ in inputs):
        inputs.append((None, text, 1.0))
    encoded = encoder.encode_queries(
        [one for one, _, _ in inputs], [words for _, words, _ in inputs], weights
    )
    parts = [*zip(encoded, (weight for _, _, weight in inputs), strict=True), *stored]
    total = sum((weight * one.vector for one, weight in parts), np.zeros(encoder.dim, np.float32))
    length = float(np.linalg.norm(total))
    if length < LEAST:
        raise QueryCancelsOut("what is wanted and what is not cancel out: give them other weights")
    main, _ = max(parts, key=lambda part: part[1])
    return Encoded((total / length).astype(np.float32), main.juice, weights)
