"""Salient patches of a picture: the vision branch of DataJuicer (arXiv 2503.14559).

Only the paper's abstract is public; the rules here are ours. Saliency is a patch's cosine with the
pooled feature times its activation norm, for networks without a CLS token; flat patches connected
to the border count as background and weigh less. Patches are selected greedily by saliency less
redundancy (after EViT, arXiv 2202.07800, and ToMe, 2210.09461; maximal marginal relevance).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.arrays import Floats
from models.images.letterbox import Picture

CELL_SIDE = 6
"""Pixels of a patch's side in the downscaled copy that colours and flatness are measured on."""

FLAT_DEVIATION = 8.0
"""A patch whose pixels deviate less than this (bytes, mean of RGB) is flat."""

COLOUR_STEP = 12.0
"""Flat neighbours whose mean colours differ less than this (bytes) are connected."""

BACKGROUND_WEIGHT = 0.2
REDUNDANCY = 0.3
"""γ: what a patch loses for repeating a kept one exactly, in units of the top saliency."""

Mask = NDArray[np.bool_]
Grid = tuple[int, int]
Scalar = TypeVar("Scalar", bound=np.generic)


def cell_pixels(canvas: Picture, grid: Grid) -> Floats:
    """Pixels (rows × columns, 36, 3) of each patch in a downscaled copy of the canvas, 0..255."""
    rows, columns = grid
    size = columns * CELL_SIDE, rows * CELL_SIDE
    small = Image.fromarray(canvas).resize(size, Image.Resampling.BOX)
    cells = np.asarray(small, np.float32).reshape(rows, CELL_SIDE, columns, CELL_SIDE, 3)
    return cells.transpose(0, 2, 1, 3, 4).reshape(rows * columns, CELL_SIDE * CELL_SIDE, 3)


def find_background(pixels: Floats, inside: Mask, grid: Grid) -> Mask:
    """Patches (rows × columns,) that are flat and connected to the picture's border."""
    mean = pixels.mean(axis=1).reshape(*grid, 3)
    flat = (pixels.std(axis=1).mean(axis=1) < FLAT_DEVIATION).reshape(grid)
    shown = inside.reshape(grid)
    border = shown & ~np.logical_and.reduce([_shifted(shown, shift) for shift in _SHIFTS])
    found: Mask = border & flat
    for _ in range(sum(grid)):
        grown = found.copy()
        for shift in _SHIFTS:
            near = np.abs(_shifted(mean, shift) - mean).max(axis=2) < COLOUR_STEP
            grown |= _shifted(found, shift) & near & flat & shown
        if (grown == found).all():
            break
        found = grown
    return found.reshape(-1)


def patch_saliency(final: Floats, inside: Mask, flat: Mask) -> Floats:
    """Saliency (patches,) from 0 to 1 of the last feature map's rows (patches, c).

    ``inside`` marks patches that show the picture and not its padding: the rest get 0. ``flat``
    marks the background. A picture that is background all over keeps its relative saliency.
    """
    norm = np.sqrt((final * final).sum(axis=1))
    pooled = final[inside].mean(axis=0)
    length = norm * np.sqrt(pooled @ pooled)
    cosine = np.maximum(final @ pooled, 0.0) / np.maximum(length, 1e-9)
    score = norm * cosine * inside * np.where(flat, BACKGROUND_WEIGHT, 1.0)
    peak = score.max()
    # In a map of zeros (an all-black picture can give one) all patches are equal.
    return (score / peak if peak > 0 else inside).astype(np.float32)


def select_patches(tokens: Floats, salience: Floats, count: int) -> NDArray[np.intp]:
    """Choose ``count`` patches, best first: saliency − γ · max cosine to those already kept.

    ``tokens`` are rows (patches, d) of length 1. Patches with saliency 0 are never chosen, so
    fewer may come back.
    """
    cosines = tokens @ tokens.T
    repeated = np.zeros_like(salience)
    score = np.where(salience > 0, salience, -np.inf)
    chosen: list[int] = []
    for _ in range(min(count, int((salience > 0).sum()))):
        best = int(np.argmax(score - REDUNDANCY * repeated))
        chosen.append(best)
        score[best] = -np.inf
        repeated = np.maximum(repeated, cosines[best])
    return np.array(chosen, np.intp)


_SHIFTS = ((0, 1), (0, -1), (1, 1), (1, -1))


def _shifted(cells: NDArray[Scalar], shift: tuple[int, int]) -> NDArray[Scalar]:
    """The grid shifted by one cell along an axis, zero where nothing was."""
    axis, step = shift
    shifted = np.roll(cells, step, axis)
    edge: list[slice | int] = [slice(None), slice(None)]
    edge[axis] = 0 if step > 0 else -1
    shifted[tuple(edge)] = 0
    return shifted
