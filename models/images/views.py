"""Views of a catalog's own pictures: what stands for shoppers' photos where there are none.

Cropped, turned and mirrored, and a product before a plain background is pasted before another
picture of the catalog, because photos have clutter. The light changes little in every other view:
strong changes would say of colour that it is worth nothing, which is wrong in fashion. Training has
richer ones (`models.training.embedding.augmentation`), for which it needs scipy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from models.images.letterbox import MIN_SIDE, Picture
from models.images.plain_background import plain_background

SIDE = 260
"""Pixels of a view's longer side."""

MILD_LIGHT, STRONG_LIGHT = 0.15, 0.35
"""Largest change of brightness, contrast and saturation, as a logarithm."""

PLAIN = 0.85
"""Share of the border that has one colour in pictures whose product is pasted elsewhere."""

Mask = NDArray[np.bool_]
Rng = np.random.Generator


def catalog_view(picture: Picture, other: Picture, number: int, rng: Rng) -> Picture:
    """One view, RGB uint8 (h, w, 3), long side at most 260 px.

    Args:
        picture: RGB, uint8 (h, w, 3).
        other: another picture of the catalog, part of which may be the background.
        number: of the view; in odd ones the light is strong, and nothing is pasted.
        rng: the only source of randomness.
    """
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE))
    strong = bool(number % 2)
    background = None if strong else plain_background(np.asarray(image), PLAIN)
    if background is not None and background.any():
        image = _crop(_paste(image, ~background, other, rng), (0.7, 1.0), rng)
    else:
        image = _crop(image, (0.35, 0.8) if strong else (0.25, 0.7), rng)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if strong and rng.random() < 0.5:
        image = image.rotate(
            rng.uniform(-20, 20), Image.Resampling.BICUBIC, fillcolor=(127, 127, 127)
        )
    view = _light(image, STRONG_LIGHT if strong else MILD_LIGHT, rng)
    if strong and rng.random() < 0.3:
        view = view.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 2.5))))
    return np.asarray(view)


def _paste(image: Image.Image, product: Mask, other: Picture, rng: Rng) -> Image.Image:
    """The product, scaled, turned and moved, before a blurred part of another picture."""
    alpha = Image.fromarray(product * np.uint8(255)).filter(ImageFilter.GaussianBlur(0.8))
    box = alpha.getbbox() or (0, 0, *image.size)
    cutout, mask = image.crop(box), alpha.crop(box)
    scale = rng.uniform(0.45, 1.0) * SIDE / max(cutout.size)
    size = max(MIN_SIDE, round(cutout.width * scale)), max(MIN_SIDE, round(cutout.height * scale))
    angle = rng.uniform(-25, 25)
    cutout, mask = (
        one.resize(size).rotate(angle, Image.Resampling.BICUBIC, expand=True)
        for one in (cutout, mask)
    )
    background = _crop(Image.fromarray(other), (0.2, 0.6), rng).resize((SIDE, SIDE))
    background = background.filter(ImageFilter.GaussianBlur(float(rng.uniform(1, 6))))
    left, top = (
        round(rng.uniform(-0.1, 1.1) * (SIDE - side)) for side in (cutout.width, cutout.height)
    )
    background.paste(cutout, (left, top), mask)
    return background


def _crop(image: Image.Image, area: tuple[float, float], rng: Rng) -> Image.Image:
    """A random part of the area, its aspect ratio changed by at most a quarter."""
    share, aspect = rng.uniform(*area), np.exp(rng.uniform(-0.25, 0.25))
    width = max(MIN_SIDE, min(1.0, np.sqrt(share * aspect)) * image.width)
    height = max(MIN_SIDE, min(1.0, np.sqrt(share / aspect)) * image.height)
    left = rng.uniform(0, max(0.0, image.width - width))
    top = rng.uniform(0, max(0.0, image.height - height))
    return image.crop((round(left), round(top), round(left + width), round(top + height)))


def _light(image: Image.Image, most: float, rng: Rng) -> Image.Image:
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = change(image).enhance(float(np.exp(rng.uniform(-most, most))))
    tint = np.exp(rng.uniform(-most / 4, most / 4, 3))  # lamps are warm or cold
    return Image.fromarray(np.clip(np.asarray(image) * tint, 0, 255).astype(np.uint8))
