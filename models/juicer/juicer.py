"""The juicer: one pass of the backbone over a picture, and the features that later stages need.

The same code juices catalog items, queries and training pictures (DataJuicer, arXiv 2503.14559).
Features are the backbone's own; ``models.embedding.projection`` maps them to the vectors and tokens
that are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.backbone.protocol import Backbone
from models.backbone.spec import Layout
from models.images.colour_histogram import FINE, colour_histogram
from models.images.letterbox import Frame, Picture, letterbox, normalise
from models.juicer.objects import Products, salient_objects
from models.juicer.product_head import ProductHead
from models.juicer.product_pixels import product_pixels
from models.juicer.saliency import Mask, cell_pixels, find_background, patch_saliency

KEEP_RATIO = 0.7
"""Share of a picture's patches that the pooled features are made of (EViT's ratio)."""


@dataclass(frozen=True, eq=False)
class PictureFeatures:
    """The features of one picture.

    Attributes:
        frame: its rectangle on the square canvas.
        saliency: of each patch, (patches,), 0..1.
        pooled: for each depth (c,) the saliency-weighted mean of the kept patches.
        identity: the same mean of the identity branch's map; (0,) without one.
        cells: the middle depths of every patch, each of length 1, side by side, (patches, d).
        colour: the coarse colour histogram (120,) of the kept patches.
        fine_colour: the fine one (567,) of the product's pixels.
        products: where its products are, which is for showing and cropping, not for the vector.
    """

    frame: Frame
    saliency: Floats
    pooled: tuple[Floats, ...]
    identity: Floats
    cells: Floats
    colour: Floats
    fine_colour: Floats
    products: Products


class FeatureSource(Protocol):
    """Makes features of pictures."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        ...

    @property
    def layout(self) -> Layout | None:
        """The network's layout, which names its classes; None where it has none."""
        ...

    def features(self, pictures: Sequence[Picture]) -> list[PictureFeatures]:
        """The features of decoded RGB pictures; raises PictureError."""
        ...


@dataclass(frozen=True, eq=False)
class BackboneFeatures:
    """A `FeatureSource` of a backbone, whose input has this size in pixels.

    ``head`` finds products by the backbone's features; None for one without.
    """

    backbone: Backbone
    size: int
    head: ProductHead | None = None

    @property
    def layout(self) -> Layout:
        """The backbone's."""
        return self.backbone.layout

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.layout.grid

    def features(self, pictures: Sequence[Picture]) -> list[PictureFeatures]:
        """See `extract_features`."""
        return extract_features(pictures, self.backbone, self.size, self.head)


def extract_features(
    pictures: Sequence[Picture], backbone: Backbone, size: int, head: ProductHead | None = None
) -> list[PictureFeatures]:
    """The features of decoded RGB pictures, uint8 (h, w, 3), of any size; raises PictureError."""
    canvases = [letterbox(picture, size) for picture in pictures]
    if not canvases:
        return []
    rows = backbone.patches(np.stack([normalise(canvas) for canvas, _ in canvases]))
    return [
        pool_patches(patches, canvas, frame, backbone.layout, head)
        for patches, (canvas, frame) in zip(rows, canvases, strict=True)
    ]


def pool_patches(
    patches: Floats,
    canvas: Picture,
    frame: Frame,
    layout: Layout,
    head: ProductHead | None = None,
) -> PictureFeatures:
    """The features of one letterboxed picture, from the backbone's rows of its patches."""
    depths = layout.depths(patches)
    inside = frame.cells(layout.grid)
    pixels = cell_pixels(canvas, layout.grid)
    salience = patch_saliency(depths[-1], inside, find_background(pixels, inside, layout.grid))
    weights = pooling_weights(salience, inside)
    return PictureFeatures(
        frame=frame,
        saliency=salience,
        pooled=tuple(weights @ depth for depth in depths),
        identity=weights @ layout.identities(patches),
        cells=np.concatenate([unit(depth) for depth in _token_depths(depths)], axis=1),
        colour=colour_histogram(
            pixels.reshape(-1, 3), np.repeat(weights / pixels.shape[1], pixels.shape[1])
        ),
        fine_colour=colour_histogram(*product_pixels(canvas, frame, salience, layout.grid), FINE),
        products=salient_objects(salience, layout.grid, frame)
        if head is None
        else head(depths, frame, layout.grid),
    )


def pooling_weights(salience: Floats, inside: Mask) -> Floats:
    """Weights (patches,) of the mean: the saliency of the kept patches, summing to 1; else 0."""
    count = max(1, round(KEEP_RATIO * int(inside.sum())))
    kept: NDArray[np.intp] = np.argsort(-salience, kind="stable")[:count]
    weights = np.zeros_like(salience)
    weights[kept] = salience[kept]
    normed: Floats = weights / weights.sum()
    return normed


def _token_depths(depths: Sequence[Floats]) -> Sequence[Floats]:
    """The middle depths, which tokens are made of: the last know categories, not products."""
    return depths[:2]
