"""Augmentation: random views of a picture, like shoppers' photos of the same product.

A product on a plain background is segmented and pasted on other backgrounds, rotated and scaled;
every view is cropped, flipped, colour-jittered and corrupted a little. So packshots alone suffice
to train on a catalog (views are ID-preserving augmentations, Pailitao-VL §4; the choice of
augmentations is ours, after SimCLR, arXiv 2002.05709).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage

from models.images.corruptions import PIXEL_CORRUPTIONS
from models.images.letterbox import Picture

VIEW_SIZE = 320
"""Pixels of a view's longer side: above any backbone's input, so that crops stay sharp."""

PLAIN_TOLERANCE = 14
"""Distance (bytes, largest channel) from the border's colour up to which a pixel is plain."""

PLAIN_BORDER_SHARE = 0.85
"""Share of the border that has one colour in pictures with a plain background."""

CORRUPTION_PROBABILITIES = {
    "occlusion": 0.15,
    "low_light": 0.15,
    "blur": 0.2,
    "watermark": 0.1,
    "low_resolution": 0.15,
}
"""Of each corruption in a view."""

Mask = NDArray[np.bool_]
Rng = np.random.Generator


def random_view(picture: Picture, rng: Rng, backgrounds: Sequence[Picture] = ()) -> Picture:
    """One random view, uint8 (h, w, 3), long side at most 320 px.

    Args:
        picture: RGB, uint8 (h, w, 3).
        rng: the only source of randomness; the same state gives the same view.
        backgrounds: pictures to paste segmented products on; without any, flat colours are used.
    """
    image = Image.fromarray(picture)
    image.thumbnail((VIEW_SIZE, VIEW_SIZE), Image.Resampling.BICUBIC)
    mask = segment_foreground(np.asarray(image))
    if mask is not None and rng.random() < 0.75:
        image = _paste(image, mask, _random_background(rng, backgrounds), rng)
        image = _random_crop(image, rng, min_area=0.75)
    else:
        image = _rotate(image, rng.uniform(-20, 20)) if rng.random() < 0.5 else image
        image = _random_crop(image, rng, min_area=0.4)
    if rng.random() < 0.3:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = _jitter_colours(image, rng)
    view = np.asarray(image)
    for name, corrupt in PIXEL_CORRUPTIONS.items():
        if rng.random() < CORRUPTION_PROBABILITIES[name]:
            view = corrupt(view, rng.uniform(0.2, 0.8), rng)
    return view


def segment_foreground(picture: Picture) -> Mask | None:
    """The mask (h, w) of a product on a plain background; None where the background is not plain.

    The background is all pixels of the border's colour that are connected to the border.
    """
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    colour = np.median(edge, axis=0)
    near = np.abs(picture - colour).max(axis=2) < PLAIN_TOLERANCE
    if (np.abs(edge - colour).max(axis=1) < PLAIN_TOLERANCE).mean() < PLAIN_BORDER_SHARE:
        return None
    regions, _ = ndimage.label(near)
    touching = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    product: Mask = ~np.isin(regions, touching[touching > 0])
    product = ndimage.binary_opening(product, iterations=1)
    share = product.mean()
    return product if 0.02 < share < 0.95 else None


def _paste(image: Image.Image, product: Mask, background: Image.Image, rng: Rng) -> Image.Image:
    """The product, scaled, rotated and moved, on another background."""
    alpha = Image.fromarray(product * np.uint8(255)).filter(ImageFilter.GaussianBlur(0.8))
    box = alpha.getbbox() or (0, 0, *image.size)
    cutout, mask = image.crop(box), alpha.crop(box)
    scale = rng.uniform(0.45, 1.15) * VIEW_SIZE / max(cutout.size)
    size = max(8, round(cutout.width * scale)), max(8, round(cutout.height * scale))
    angle = rng.uniform(-35, 35)
    cutout = cutout.resize(size, Image.Resampling.BICUBIC).rotate(
        angle, Image.Resampling.BICUBIC, expand=True
    )
    mask = mask.resize(size, Image.Resampling.BICUBIC).rotate(
        angle, Image.Resampling.BICUBIC, expand=True
    )
    corner = [
        round(rng.uniform(-0.15, 1.15) * (whole - part))
        for whole, part in zip(background.size, cutout.size, strict=True)
    ]
    background.paste(cutout, (corner[0], corner[1]), mask)
    if rng.random() < 0.3:  # on shelves products stand side by side
        shift = round(rng.choice([-1, 1]) * cutout.width * rng.uniform(0.7, 1.0))
        background.paste(cutout, (corner[0] + shift, corner[1] + round(rng.uniform(-20, 20))), mask)
    return background


def _random_background(rng: Rng, backgrounds: Sequence[Picture]) -> Image.Image:
    size = (VIEW_SIZE, VIEW_SIZE)
    if not len(backgrounds) or rng.random() < 0.15:
        return Image.new("RGB", size, tuple(int(v) for v in rng.integers(0, 256, 3)))
    background = Image.fromarray(backgrounds[int(rng.integers(len(backgrounds)))])
    background = _random_crop(background, rng, min_area=0.4).resize(size, Image.Resampling.BICUBIC)
    return background.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 4))))


def _random_crop(image: Image.Image, rng: Rng, min_area: float) -> Image.Image:
    """A random crop of ``min_area`` to 1 of the area, its aspect ratio changed by 3:4 to 4:3."""
    area, aspect = rng.uniform(min_area, 1.0), np.exp(rng.uniform(-0.28, 0.28))
    width = min(1.0, np.sqrt(area * aspect)) * image.width
    height = min(1.0, np.sqrt(area / aspect)) * image.height
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    return image.crop(
        (
            round(left),
            round(top),
            max(round(left + width), round(left) + 8),
            max(round(top + height), round(top) + 8),
        )
    )


def _rotate(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(127, 127, 127))


def _jitter_colours(image: Image.Image, rng: Rng) -> Image.Image:
    image = ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.65, 1.3)))
    image = ImageEnhance.Contrast(image).enhance(float(rng.uniform(0.7, 1.3)))
    image = ImageEnhance.Color(image).enhance(float(rng.uniform(0.7, 1.3)))
    tint = rng.uniform(0.9, 1.1, 3)  # lamps are warm or cold
    return Image.fromarray(np.clip(np.asarray(image) * tint, 0, 255).astype(np.uint8))
