"""The juicer: one pass over a picture that gives everything later stages need.

The same code juices catalog items, queries and training pictures (DataJuicer, arXiv 2503.14559).
What comes out is still in the backbone's own features; ``models.embedding.projection`` makes the
short vectors and tokens of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.backbone.protocol import Backbone
from models.backbone.spec import Layout
from models.images import colour_histogram
from models.images.letterbox import Frame, Picture, letterbox, normalise
from models.juicer.saliency import Mask, background, cell_pixels, saliency

KEEP_RATIO = 0.7
"""Share of a picture's patches that the pooled features are made of (EViT's ratio)."""


@dataclass(frozen=True, eq=False)
class Squeezed:
    """What was squeezed from one picture.

    ``pooled`` has one row (c,) per depth: the saliency-weighted mean of the kept patches.
    ``identity`` is the same mean of the trained tail's map, (0,) without a tail.
    ``cells`` (patches, d) are the middle depths of every patch, each depth of length 1.
    ``colour`` is the descriptor (120,) of the kept patches.
    """

    frame: Frame
    saliency: Floats
    pooled: tuple[Floats, ...]
    identity: Floats
    cells: Floats
    colour: Floats


def squeeze(pictures: Sequence[Picture], backbone: Backbone, size: int) -> list[Squeezed]:
    """Juice decoded RGB pictures, uint8 (h, w, 3), of any size; raises PictureError."""
    canvases = [letterbox(picture, size) for picture in pictures]
    if not canvases:
        return []
    rows = backbone.patches(np.stack([normalise(canvas) for canvas, _ in canvases]))
    return [
        squeeze_rows(patches, canvas, frame, backbone.layout)
        for patches, (canvas, frame) in zip(rows, canvases, strict=True)
    ]


def squeeze_rows(patches: Floats, canvas: Picture, frame: Frame, layout: Layout) -> Squeezed:
    """Juice one letterboxed picture of which the backbone made these patch rows."""
    depths = layout.depths(patches)
    inside = frame.cells(layout.grid)
    pixels = cell_pixels(canvas, layout.grid)
    salience = saliency(depths[-1], inside, background(pixels, inside, layout.grid))
    weights = kept_weights(salience, inside)
    return Squeezed(
        frame=frame,
        saliency=salience,
        pooled=tuple(weights @ depth for depth in depths),
        identity=weights @ layout.identities(patches),
        cells=np.concatenate([unit(depth) for depth in _middle(depths)], axis=1),
        colour=colour_histogram.histogram(pixels, weights),
    )


def kept_weights(salience: Floats, inside: Mask) -> Floats:
    """Saliency of the kept share of the picture's patches, summing to 1; 0 elsewhere."""
    count = max(1, round(KEEP_RATIO * int(inside.sum())))
    kept: NDArray[np.intp] = np.argsort(-salience, kind="stable")[:count]
    weights = np.zeros_like(salience)
    weights[kept] = salience[kept]
    normed: Floats = weights / weights.sum()
    return normed


def _middle(depths: Sequence[Floats]) -> Sequence[Floats]:
    """The depths that tokens are made of: the last ones know categories, not identity."""
    return depths[:2]
