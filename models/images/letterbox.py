"""From a decoded picture to the backbone's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.arrays import Box, Floats
from models.errors import PictureError

Picture = NDArray[np.uint8]

MIN_SIDE = 8
"""Pixels of the shorter side that a picture needs to be recognised."""


@dataclass(frozen=True)
class Frame:
    """The picture's rectangle on its square canvas, in fractions of the canvas, 0..1."""

    left: float
    top: float
    right: float
    bottom: float

    def cells(self, grid: tuple[int, int]) -> NDArray[np.bool_]:
        """Which cells (rows × columns,) of the canvas show the picture on half their area."""
        down = _overlap(self.top, self.bottom, grid[0])
        across = _overlap(self.left, self.right, grid[1])
        return np.outer(down, across).reshape(-1)

    def to_picture(self, box: Box) -> Box:
        """A box on the canvas as a box on the picture, clipped to it."""
        width, height = self.right - self.left, self.bottom - self.top
        x0, x1 = (min(max((x - self.left) / width, 0.0), 1.0) for x in (box[0], box[2]))
        y0, y1 = (min(max((y - self.top) / height, 0.0), 1.0) for y in (box[1], box[3]))
        return x0, y0, x1, y1


def check_picture(picture: Picture) -> None:
    """Raise PictureError unless the picture is uint8 (h, w, 3), at least 8 × 8 px."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise PictureError(
            f"a picture is uint8 of shape (height, width, 3), RGB; this is {picture.dtype} of "
            f"shape {picture.shape}"
        )
    if min(picture.shape[:2]) < MIN_SIDE:
        height, width = picture.shape[:2]
        raise PictureError(
            f"the picture is {width} × {height} px; {MIN_SIDE} × {MIN_SIDE} is least"
        )


def letterbox(picture: Picture, size: int) -> tuple[Picture, Frame]:
    """Scale the longer side to ``size`` (bicubic, anti-aliased) and centre it on a grey square.

    Keeping the aspect ratio gains two points on categories of clothing (a dress is longer than a
    shirt) and costs nothing on square pictures. Grey (127) is the zero of ``normalise``.
    """
    check_picture(picture)
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
    canvas = np.full((size, size, 3), 127, np.uint8)
    scaled = Image.fromarray(picture).resize(inner, Image.Resampling.BICUBIC)
    canvas[top : top + inner[1], left : left + inner[0]] = np.asarray(scaled)
    frame = Frame(left / size, top / size, (left + inner[0]) / size, (top + inner[1]) / size)
    return canvas, frame


def normalise(picture: Picture) -> Floats:
    """Bytes (s, s, 3) to the floats (3, s, s) in ±1 that EfficientNet-Lite was trained on."""
    channels: Floats = (picture.transpose(2, 0, 1).astype(np.float32) - 127.0) / 128.0
    return np.ascontiguousarray(channels)


def _overlap(start: float, end: float, cells: int) -> NDArray[np.bool_]:
    """Which of ``cells`` equal parts of 0..1 lie in start..end by half, or as much as any does."""
    edges = np.linspace(0.0, 1.0, cells + 1)
    shared = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
    return shared >= min(0.5 / cells, float(shared.max())) - 1e-9
