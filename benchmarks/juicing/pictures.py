"""Pictures by the packaged network: what juice makes of them, and what there is without juice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image

from models.arrays import Floats
from models.backbone.load import load_backbone
from models.backbone.protocol import Backbone
from models.backbone.spec import named_backbone
from models.embedding.layout import PRIOR_IDENTITY, PartWeights, compose_item, query_for_item
from models.embedding.load import packaged_head, packaged_weights
from models.embedding.projection import Projection, load_projection
from models.images.colour_histogram import FINE, colour_histogram
from models.images.letterbox import Frame, Picture, letterbox, normalise
from models.juicer.juicer import (
    BackboneFeatures,
    FeatureSource,
    PictureFeatures,
    pool_patches,
)
from models.juicer.product_head import ProductHead, load_product_head
from models.juicer.saliency import cell_pixels

BACKBONE = "lite2"
UNKNOWN = PartWeights.with_identity(PRIOR_IDENTITY)
"""Of queries: the catalogs here are none that the encoder was trained on."""


@dataclass(frozen=True, eq=False)
class SeenPicture:
    """A picture's features, its vector with and without juice, and its patches as tokens.

    Attributes:
        juiced: by the salient patches, as it is served.
        plain: the mean over the whole picture, (768,).
        vector: with juice, (768,).
        tokens: of all patches, (patches, 64), of length 1.
    """

    juiced: PictureFeatures
    plain: Floats
    vector: Floats
    tokens: Floats


class Network:
    """The packaged encoder, taken apart."""

    def __init__(self, threads: int = 1) -> None:
        spec = named_backbone(BACKBONE)
        weights = packaged_weights(BACKBONE)
        self.size = spec.size
        self.backbone: Backbone = load_backbone(
            replace(spec, identity_branch=weights), threads=threads
        )
        self.projection: Projection = load_projection(weights, self.backbone.layout.widths)

    @cached_property
    def head(self) -> ProductHead:
        """The packaged head that finds products."""
        return load_product_head(packaged_head(BACKBONE), self.backbone.layout.widths)

    @cached_property
    def source(self) -> FeatureSource:
        """What makes features of pictures."""
        return BackboneFeatures(self.backbone, self.size, self.head)

    def see(self, picture: Picture) -> SeenPicture:
        """One picture."""
        canvas, frame = letterbox(picture, self.size)
        (rows,) = self.backbone.patches(normalise(canvas)[None])
        juiced = pool_patches(rows, canvas, frame, self.backbone.layout, self.head)
        return SeenPicture(
            juiced,
            compose_item(self.projection.project(self._without_juice(rows, canvas, frame)), None),
            compose_item(self.projection.project(juiced), None),
            self.projection.patch_tokens(juiced),
        )

    def _without_juice(self, rows: Floats, canvas: Picture, frame: Frame) -> PictureFeatures:
        """All patches and all pixels count the same."""
        layout = self.backbone.layout
        depths, inside = layout.depths(rows), frame.cells(layout.grid)
        weights = (inside / inside.sum()).astype(np.float32)
        pixels = cell_pixels(canvas, layout.grid)
        edges = (frame.left, frame.top, frame.right, frame.bottom)
        left, top, right, bottom = (round(edge * self.size) for edge in edges)
        small = Image.fromarray(canvas[top:bottom, left:right])
        small = small.resize((65, 65), Image.Resampling.BOX)
        all_pixels = np.asarray(small, np.float32).reshape(-1, 3)
        even = np.full(len(all_pixels), 1 / len(all_pixels), np.float32)
        every = np.repeat(weights / pixels.shape[1], pixels.shape[1])
        return PictureFeatures(
            frame=frame,
            saliency=weights,
            pooled=tuple(weights @ depth for depth in depths),
            identity=weights @ layout.identities(rows),
            cells=np.empty((0, 0), np.float32),
            colour=colour_histogram(pixels.reshape(-1, 3), every),
            fine_colour=colour_histogram(all_pixels, even, FINE),
            products=self.head(depths, frame, layout.grid),
        )


def similarities(queries: Floats, items: Floats) -> Floats:
    """Cosines (queries, items) as an unknown catalog is searched, by pictures alone."""
    asked = np.stack([query_for_item(one, None, UNKNOWN) for one in queries])
    found: Floats = asked @ items.T
    return found
