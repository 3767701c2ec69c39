"""Where products are in a picture: a small convolutional head on the patches of a backbone.

Saliency by rules finds what a network finds striking, a price tag as well as the product. This head
was taught on pictures whose products are known (`models.training.juicer`): it says of each patch
how much of it is product, and how likely an object's middle is there with which box, as in FCOS
(arXiv 1904.01355), so that several objects come apart and boxes are finer than patches. It has some
sixteen thousand parameters and costs a hundredth of the backbone's time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.errors import WeightsError
from models.images.letterbox import Frame
from models.juicer.objects import MAX_OBJECTS, WHOLE, FoundObject, Products, overlap
from models.weights.files import read_weights

WIDTH = 16
DEPTHS = 3
"""So many depths are read, shallow first: the last one knows kinds, not places."""

INPUT_SCALE = 8.0
"""Of depths of length 1, so that inputs are near 1."""

PLACES = 3
"""Values that say where a patch is."""

OVERLAP = 0.4
"""Intersection over union from which two boxes are of one object."""

MIN_SCORE = 0.1

SURE = 0.65
"""Score from which an object is the product. Nineteen in twenty rendered photos reach it, and so do
nearly all real ones of single things; of photos of shelves and heaps none does, and theirs is the
whole picture."""

NAMES = ("enter", "enter_bias", "near", "whole", "near_bias", "far", "far_bias", "out", "out_bias")
"""The tensors of a head, in the order of the layers."""


@dataclass(frozen=True, eq=False)
class ProductHead:
    """The head's layers; `tensors` are named by `NAMES`."""

    tensors: Mapping[str, Floats]

    def __call__(self, depths: list[Floats], frame: Frame, grid: tuple[int, int]) -> Products:
        """Find products by a picture's depths, each (patches, c)."""
        inside = frame.cells(grid)
        return self.products(self.maps(head_input(depths, frame, grid), inside, grid), frame, grid)

    def products(self, maps: Floats, frame: Frame, grid: tuple[int, int]) -> Products:
        """What the raw output (patches, 6) says."""
        inside = frame.cells(grid)
        share = sigmoid(maps[:, 0]) * inside
        score = sigmoid(maps[:, 1]) * inside
        boxes = boxes_of(maps[:, 2:], grid)
        objects = _distinct(boxes, score, frame)
        sure = bool(objects) and objects[0].score >= SURE
        return Products(share.astype(np.float32), objects, objects[0].box if sure else WHOLE)

    def maps(self, rows: Floats, inside: NDArray[np.bool_], grid: tuple[int, int]) -> Floats:
        """The raw output (patches, 6): logits of share and score, and the box."""
        weights = self.tensors
        hidden = _positive(rows @ weights["enter"] + weights["enter_bias"]) * inside[:, None]
        whole = hidden[inside].mean(axis=0) @ weights["whole"]
        near = _neighbours(hidden, grid, 1) @ weights["near"]
        hidden = _positive(near + whole + weights["near_bias"]) * inside[:, None]
        hidden = _positive(_neighbours(hidden, grid, 2) @ weights["far"] + weights["far_bias"])
        out: Floats = hidden @ weights["out"] + weights["out_bias"]
        return out


def load_product_head(path: Path, widths: Sequence[int]) -> ProductHead:
    """Read a head for a backbone with these depths.

    Raises:
        WeightsError: it cannot be read, or was taught on another backbone.
    """
    tensors, _ = read_weights(path)
    if missing := set(NAMES) - set(tensors):
        raise WeightsError(f"{path} is no product head: it has no {', '.join(sorted(missing))}")
    if len(tensors["enter"]) != sum(widths[:DEPTHS]) + PLACES:
        raise WeightsError(f"{path} was taught on another backbone, not on widths {list(widths)}")
    return ProductHead({name: tensors[name].astype(np.float32) for name in NAMES})


def head_input(depths: list[Floats], frame: Frame, grid: tuple[int, int]) -> Floats:
    """Rows (patches, d): depths of length 1 side by side, and each patch's place in the picture."""
    x, y = centres(grid)
    across = 2 * (x - frame.left) / (frame.right - frame.left) - 1
    down = 2 * (y - frame.top) / (frame.bottom - frame.top) - 1
    places = np.stack([across, down, across**2 + down**2], axis=1).astype(np.float32)
    features = [np.float32(INPUT_SCALE) * unit(depth) for depth in depths[:DEPTHS]]
    return np.concatenate([*features, places], axis=1)


def centres(grid: tuple[int, int]) -> tuple[Floats, Floats]:
    """x and y (patches,) of the patches' middles on the canvas, 0..1."""
    y, x = np.mgrid[: grid[0], : grid[1]].astype(np.float32)
    return ((x + 0.5) / grid[1]).reshape(-1), ((y + 0.5) / grid[0]).reshape(-1)


def boxes_of(reach: Floats, grid: tuple[int, int]) -> Floats:
    """Boxes (patches, 4) on the canvas, from how far each reaches to left, top, right and bottom.

    ``reach`` (patches, 4) is the logarithm of the distances in units of a quarter of the canvas.
    """
    x, y = centres(grid)
    left, top, right, bottom = (0.25 * np.exp(np.clip(reach, -4.0, 1.5))).T
    return np.stack([x - left, y - top, x + right, y + bottom], axis=1)


def _distinct(boxes: Floats, score: Floats, frame: Frame) -> tuple[FoundObject, ...]:
    """The surest boxes; those near a surer one's are averaged into it, weighed by their scores."""
    low, high = (frame.left, frame.top) * 2, (frame.right, frame.bottom) * 2
    boxes = np.clip(boxes, low, high)
    left = score >= MIN_SCORE
    found: list[FoundObject] = []
    while left.any() and len(found) < MAX_OBJECTS:
        best = int(np.argmax(np.where(left, score, 0)))
        alike = left & (overlap(boxes[best], boxes) >= OVERLAP)
        weights = np.where(alike, score, 0)
        weights[best] = max(float(weights[best]), 1e-6)
        x0, y0, x1, y1 = (float(edge) for edge in weights @ boxes / weights.sum())
        box = frame.to_picture((x0, y0, x1, y1))
        left &= ~alike
        left[best] = False
        if box[2] - box[0] > 0.02 and box[3] - box[1] > 0.02:
            found.append(FoundObject(box, round(float(score[best]), 4)))
    return tuple(found)


def _neighbours(rows: Floats, grid: tuple[int, int], step: int) -> Floats:
    """Each patch's row and its eight neighbours' at a distance, side by side (patches, 9 d)."""
    height, width = grid
    padded = np.pad(rows.reshape(height, width, -1), ((step, step), (step, step), (0, 0)))
    shifts = (0, step, 2 * step)
    return np.concatenate(
        [padded[y : y + height, x : x + width] for y in shifts for x in shifts], axis=2
    ).reshape(height * width, -1)


def sigmoid(values: Floats) -> Floats:
    """The logistic function."""
    return (1 / (1 + np.exp(-np.clip(values, -30, 30)))).astype(np.float32)


def _positive(values: Floats) -> Floats:
    return np.maximum(values, 0)
