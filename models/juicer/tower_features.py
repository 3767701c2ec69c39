"""Features of pictures by an exported network of a Hugging Face folder.

The embedding of the whole picture is the network's own, made as it was trained, where a backbone's
is the mean over the salient patches. Saliency is the attention of the token or head that the
embedding comes from, as in DataJuicer (arXiv 2503.14559) and EViT (2202.07800); a network without
one has the saliency of `models.juicer.saliency.patch_saliency`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.arrays import Floats, unit
from models.backbone.spec import Layout
from models.backbone.tower import Tower, TowerOutput
from models.backbone.tower_files import TowerCard
from models.images.colour_histogram import FINE, colour_histogram
from models.images.letterbox import Frame, Picture
from models.juicer.juicer import PictureFeatures, pooling_weights
from models.juicer.objects import salient_objects
from models.juicer.product_pixels import product_pixels
from models.juicer.saliency import (
    BACKGROUND_WEIGHT,
    Mask,
    cell_pixels,
    find_background,
    patch_saliency,
)

NO_IDENTITY = np.empty(0, np.float32)


class TowerFeatures:
    """A `models.juicer.juicer.FeatureSource`."""

    layout: Layout | None = None

    def __init__(self, card: TowerCard, tower: Tower) -> None:
        self.grid = card.grid
        self._preprocessing = card.preprocessing
        self._tower = tower

    def features(self, pictures: Sequence[Picture]) -> list[PictureFeatures]:
        """The features of decoded RGB pictures, uint8 (h, w, 3), of any size from 8 × 8.

        Raises:
            PictureError: a picture is none of these.
        """
        canvases = [self._preprocessing.canvas(picture) for picture in pictures]
        if not canvases:
            return []
        prepared = np.stack([self._preprocessing.normalise(canvas) for canvas, _ in canvases])
        outputs = self._tower.run_batch(prepared)
        return [
            self._features_of(canvas, frame, found)
            for (canvas, frame), found in zip(canvases, outputs, strict=True)
        ]

    def _features_of(self, canvas: Picture, frame: Frame, found: TowerOutput) -> PictureFeatures:
        inside = frame.cells(self.grid)
        pixels = cell_pixels(canvas, self.grid)
        flat = find_background(pixels, inside, self.grid)
        salience = (
            attended(found.attention, inside, flat)
            if found.attention.size
            else patch_saliency(found.patches, inside, flat)
        )
        weights = pooling_weights(salience, inside)
        return PictureFeatures(
            frame=frame,
            saliency=salience,
            pooled=(found.embedding,),
            identity=NO_IDENTITY,
            cells=unit(found.patches),
            colour=colour_histogram(
                pixels.reshape(-1, 3), np.repeat(weights / pixels.shape[1], pixels.shape[1])
            ),
            fine_colour=colour_histogram(*product_pixels(canvas, frame, salience, self.grid), FINE),
            products=salient_objects(salience, self.grid, frame),
        )


def attended(attention: Floats, inside: Mask, flat: Mask) -> Floats:
    """Saliency (patches,) from 0 to 1 of a network's attention (patches,).

    ``inside`` marks patches that show the picture and not its padding: the rest get 0. ``flat``
    marks the background.
    """
    score = attention * inside * np.where(flat, BACKGROUND_WEIGHT, 1.0)
    peak = score.max()
    return (score / peak if peak > 0 else inside).astype(np.float32)
