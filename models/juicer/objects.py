"""The objects of a picture: a box each, and how sure it is that something is there.

A backbone with a head of its own finds them by that (`models.juicer.product_head`). For others they
are the connected regions of salient patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Box, Floats
from models.images.letterbox import Frame

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
MAX_OBJECTS = 8

SALIENT = 0.35
"""Saliency from which a patch belongs to an object where only saliency is known. Of thresholds from
.3 to .7 those below .4 fit the boxes of 60 real photos best (`lookstream bench juicer`)."""


@dataclass(frozen=True)
class FoundObject:
    """An object in a picture.

    Attributes:
        box: x0, y0, x1, y1 relative to the picture, 0 to 1.
        score: how sure it is, 0..1.
    """

    box: Box
    score: float


@dataclass(frozen=True, eq=False)
class Products:
    """Where a picture's products are.

    Attributes:
        share: of each patch that is product, (patches,), 0..1; 0 in the padding.
        objects: at most eight, the surest first; their boxes hardly overlap.
        box: around the product that the picture is of; all of the picture where none is sure.
    """

    share: Floats
    objects: tuple[FoundObject, ...]
    box: Box


def salient_objects(salience: Floats, grid: tuple[int, int], frame: Frame) -> Products:
    """Regions of salient patches that touch at their sides.

    ``salience`` (patches,) is 0..1; a region's share of all of it is its score.
    """
    regions = _regions((salience >= SALIENT).reshape(grid))
    total = max(float(salience.sum()), 1e-9)
    scored = [(float(salience[region].sum()) / total, region) for region in regions]
    scored.sort(key=lambda one: -one[0])
    objects = tuple(
        FoundObject(_box_around(region, grid, frame), round(score, 4))
        for score, region in scored[:MAX_OBJECTS]
    )
    return Products(salience, objects, objects[0].box if objects else WHOLE)


def overlap(one: Box | Floats, others: Floats) -> Floats:
    """Intersection over union of a box with others (n, 4), (n,)."""
    low = np.maximum(np.asarray(one)[:2], others[:, :2])
    high = np.minimum(np.asarray(one)[2:], others[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    area = (one[2] - one[0]) * (one[3] - one[1])
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    found: Floats = shared / np.maximum(area + areas - shared, 1e-9)
    return found


def _box_around(patches: NDArray[np.intp], grid: tuple[int, int], frame: Frame) -> Box:
    rows, columns = np.divmod(patches, grid[1])
    left, right = float(columns.min()) / grid[1], float(columns.max() + 1) / grid[1]
    top, bottom = float(rows.min()) / grid[0], float(rows.max() + 1) / grid[0]
    return frame.to_picture((left, top, right, bottom))


def _regions(marked: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The connected regions of marked cells, each as numbers of cells."""
    left = {(int(row), int(column)) for row, column in np.argwhere(marked)}
    regions = []
    while left:
        reached = [left.pop()]
        for row, column in reached:
            near = {(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)}
            reached += near & left
            left -= near
        regions.append(np.array([row * marked.shape[1] + column for row, column in reached]))
    return regions
