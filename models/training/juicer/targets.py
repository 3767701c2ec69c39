"""What the product head is to say of a picture: per patch, and with the features to say it by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Box, Floats
from models.backbone.spec import Layout
from models.images.letterbox import Frame, Picture, letterbox
from models.juicer.product_head import centres, head_input
from models.training.juicer.pictures import TaughtPicture

CORE, LEAST_CORE = 0.5, 0.06
"""The middle part of a box whose patches answer for it: half of each side, but at least so many
shares of the canvas on each side of the middle."""


@dataclass(frozen=True, eq=False)
class Targets:
    """The targets of one picture with p patches.

    Attributes:
        rows: the head's input, (p, d).
        inside: patches that show the picture, (p,).
        share: of each patch that is product, (p,).
        score: how near each is to an object's middle, by what the object counts, (p,).
        boxes: of the object that a patch answers for, on the canvas, (p, 4).
        weights: of these; 0 where a patch answers for none, (p,).
    """

    rows: Floats
    inside: NDArray[np.bool_]
    share: Floats
    score: Floats
    boxes: Floats
    weights: Floats


def targets_of(taught: TaughtPicture, depths: list[Floats], size: int, layout: Layout) -> Targets:
    """The targets of a picture whose depths these are; ``size`` is the network's, in pixels."""
    grid = layout.grid
    frame, share = _share(taught, size, grid)
    corner = np.array([frame.left, frame.top] * 2, np.float32)
    sides = np.array([frame.right, frame.bottom] * 2, np.float32) - corner
    boxes = np.array(taught.boxes, np.float32).reshape(-1, 4) * sides + corner
    score, answered, weights = answers(boxes, taught.weights, grid)
    rows = head_input(depths, frame, grid)
    return Targets(rows, frame.cells(grid), share, score, answered, weights)


def answers(
    boxes: Sequence[Box] | Floats, counts: Sequence[float], grid: tuple[int, int]
) -> tuple[Floats, Floats, Floats]:
    """Score (p,), box (p, 4) and weight (p,) of each patch; small objects answer before large.

    The score falls from 1 at an object's middle to its edges, as centerness does (FCOS, arXiv
    1904.01355, §3.2).
    """
    x, y = centres(grid)
    score = np.zeros(len(x), np.float32)
    answered, weights = np.zeros((len(x), 4), np.float32), np.zeros(len(x), np.float32)
    largest_first = sorted(zip(boxes, counts, strict=True), key=lambda one: -_area(one[0]))
    for (x0, y0, x1, y1), count in largest_first:
        across, down = np.stack([x - x0, x1 - x]), np.stack([y - y0, y1 - y])
        ratio = across.min(axis=0) / across.max(axis=0) * down.min(axis=0) / down.max(axis=0)
        off_x, off_y = np.abs(x - (x0 + x1) / 2), np.abs(y - (y0 + y1) / 2)
        core = (across.min(axis=0) > 0) & (down.min(axis=0) > 0)
        core &= off_x <= max(CORE * (x1 - x0) / 2, LEAST_CORE)
        core &= off_y <= max(CORE * (y1 - y0) / 2, LEAST_CORE)
        core[np.argmin(off_x**2 + off_y**2)] = True
        centred = np.sqrt(np.maximum(ratio, 0.09))
        score[core] = count * centred[core] / centred[core].max()
        answered[core], weights[core] = (x0, y0, x1, y1), count
    return score, answered, weights


def _share(taught: TaughtPicture, size: int, grid: tuple[int, int]) -> tuple[Frame, Floats]:
    mask: Picture = np.repeat(taught.mask[..., None] * np.uint8(255), 3, axis=2)
    canvas, frame = letterbox(mask, size)
    inner = np.zeros((size, size), np.float32)
    left, top, right, bottom = (
        round(edge * size) for edge in (frame.left, frame.top, frame.right, frame.bottom)
    )
    inner[top:bottom, left:right] = canvas[top:bottom, left:right, 0] / np.float32(255)
    down, across = (_pooling(size, cells) for cells in grid)
    share = np.clip((down @ inner @ across.T).reshape(-1), 0, 1)
    return frame, share.astype(np.float32)


def _pooling(size: int, cells: int) -> Floats:
    """Means of ``size`` values over equal parts, as a matrix (cells, size)."""
    edges = np.arange(size + 1)
    bounds = np.linspace(0, size, cells + 1)
    low, high = np.maximum(edges[:-1], bounds[:-1, None]), np.minimum(edges[1:], bounds[1:, None])
    part = np.maximum(high - low, 0)
    matrix: Floats = (part / part.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def _area(box: Box | Floats) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
