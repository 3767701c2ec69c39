"""Queries whose objects are looked for: one more question for each object of the picture."""

from __future__ import annotations

from dataclasses import dataclass

from models.embedding.layout import PartWeights
from models.embedding.protocol import CatalogEncoder, Encoded
from models.images.letterbox import MIN_SIDE, Picture
from models.juicer.objects import FoundObject
from stream.messages import ObjectGroup
from workers.query.compose import WeighedPicture, compose, crop
from workers.query.page import Page
from workers.query.result import is_no_match

MARGIN = 0.04
"""What is added to a box on each side, in shares of its own sides: boxes cut things off."""


@dataclass(frozen=True, eq=False)
class AskedObject:
    """An object, its part of the picture, and the query that this is."""

    found: FoundObject
    encoded: Encoded
    picture: Picture


def ask_objects(
    encoder: CatalogEncoder, picture: Picture, text: str | None, weights: PartWeights
) -> list[AskedObject]:
    """The objects of a picture, from the left; none where it shows fewer than two.

    Raises:
        ModelError: the encoder refuses the picture or the words.
    """
    found = [
        one
        for one in encoder.find_objects(picture)
        if min(cropped(picture, one).shape[:2]) >= MIN_SIDE
    ]
    if len(found) < 2:
        return []
    found.sort(key=lambda one: one.box[0])
    parts = [cropped(picture, one) for one in found]
    return [
        AskedObject(one, compose(encoder, [WeighedPicture(part)], (), text, weights), part)
        for one, part in zip(found, parts, strict=True)
    ]


def cropped(picture: Picture, found: FoundObject) -> Picture:
    """The part of a picture that shows an object, with a margin."""
    height, width = picture.shape[:2]
    left, top, right, bottom = found.box
    across, down = MARGIN * (right - left), MARGIN * (bottom - top)
    box = (
        max(left - across, 0.0),
        max(top - down, 0.0),
        min(right + across, 1.0),
        min(bottom + down, 1.0),
    )
    if min((box[2] - box[0]) * width, (box[3] - box[1]) * height) < MIN_SIDE + 1:
        return picture[:0]
    return crop(picture, box)


def group_of(asked: AskedObject, page: Page) -> ObjectGroup:
    """The result of one object."""
    none = page.no_match_probability
    return ObjectGroup(
        box=asked.found.box,
        score=asked.found.score,
        items=page.items,
        no_match=is_no_match(none),
        no_match_probability=none,
    )
