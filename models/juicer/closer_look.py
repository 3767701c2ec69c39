"""A closer look at each object of a scene: boxes finer than the patches of the whole picture.

A patch is a ninth of the picture wide, which is as much as a small object. So the surroundings of
each object are cut out and looked at by themselves, and the box that it has there takes the place
of the first one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.arrays import Box
from models.images.letterbox import MIN_SIDE, Picture
from models.juicer.juicer import FeatureSource
from models.juicer.objects import FoundObject, overlap

LEAST_SCORE = 0.3
"""Score from which an object is looked at, and found again."""

SURROUNDINGS = 0.5
"""What is cut out beyond a box on each side, in shares of its longer side."""

SAME = 0.3
"""Intersection over union from which the box of the closer look is that of the same object."""

REPEATED = 0.5
"""Intersection over union from which two objects have become one."""


def look_closer(
    picture: Picture, objects: Sequence[FoundObject], source: FeatureSource
) -> tuple[FoundObject, ...]:
    """The objects from `LEAST_SCORE` on with finer boxes, the surest first.

    Raises:
        PictureError: the picture is no uint8 (h, w, 3).
    """
    height, width = picture.shape[:2]
    looked: list[tuple[FoundObject, Box, Picture]] = []
    for one in objects:
        around = _around(one.box, width, height)
        left, right = round(around[0] * width), round(around[2] * width)
        top, bottom = round(around[1] * height), round(around[3] * height)
        if one.score >= LEAST_SCORE and min(right - left, bottom - top) >= MIN_SIDE:
            part = np.ascontiguousarray(picture[top:bottom, left:right])
            looked.append((one, (left / width, top / height, right / width, bottom / height), part))
    seen = source.features([part for _, _, part in looked])
    finer: list[FoundObject] = []
    for (one, around, _), features in zip(looked, seen, strict=True):
        box = _again(one.box, around, features.products.objects)
        known = np.array([other.box for other in finer], np.float32).reshape(-1, 4)
        if not (overlap(box, known) >= REPEATED).any():
            finer.append(FoundObject(box, one.score))
    return tuple(finer)


def _around(box: Box, width: int, height: int) -> Box:
    """A square in pixels around a box, as far as the picture reaches."""
    side = (1 + 2 * SURROUNDINGS) * max((box[2] - box[0]) * width, (box[3] - box[1]) * height)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    across, down = side / 2 / width, side / 2 / height
    return max(x - across, 0.0), max(y - down, 0.0), min(x + across, 1.0), min(y + down, 1.0)


def _again(box: Box, around: Box, objects: Sequence[FoundObject]) -> Box:
    """The box that an object has in its surroundings, in the picture; else the one it had."""
    wide, high = around[2] - around[0], around[3] - around[1]
    corner = np.array([around[0], around[1]] * 2)
    sides = np.array([wide, high] * 2)
    boxes = np.array([one.box for one in objects if one.score >= LEAST_SCORE])
    if not len(boxes):
        return box
    boxes = (boxes * sides + corner).astype(np.float32)
    shared = overlap(box, boxes)
    scores = np.array([one.score for one in objects if one.score >= LEAST_SCORE])
    best = int(np.argmax(shared * scores))
    if shared[best] < SAME:
        return box
    x0, y0, x1, y1 = (min(max(float(edge), 0.0), 1.0) for edge in boxes[best])
    return x0, y0, x1, y1
