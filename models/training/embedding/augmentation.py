"""Training views of one picture: what a shopper's photo of the same product might look like.

A product cut out of a plain background is put before other backgrounds, turned and scaled; every
view is cropped, mirrored, recoloured and spoilt a little. So a catalog's own pictures are enough
to learn its identities from (a view is an ID-preserving augmentation, Pailitao-VL §4; the choice
of augmentations is ours, after SimCLR, arXiv 2002.05709).
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

PLAIN = 14
"""How far (bytes, largest channel) a pixel may be from the border's colour and still be plain."""

BORDER_PLAIN = 0.85
"""Share of the border that has one colour where a picture was taken before a plain background."""

CHANCES = {
    "occlusion": 0.15,
    "low_light": 0.15,
    "blur": 0.2,
    "watermark": 0.1,
    "low_resolution": 0.15,
}
"""How often a view suffers each disturbance."""

Mask = NDArray[np.bool_]
Random = np.random.Generator


def view(picture: Picture, random: Random, backgrounds: Sequence[Picture] = ()) -> Picture:
    """One random view, uint8 (h, w, 3), long side at most 320 px.

    Args:
        picture: RGB, uint8 (h, w, 3).
        random: decides everything; the same state gives the same view.
        backgrounds: pictures to put a cut-out product before; without any, flat colours are used.
    """
    image = Image.fromarray(picture)
    image.thumbnail((VIEW_SIZE, VIEW_SIZE), Image.Resampling.BICUBIC)
    cut = cut_out(np.asarray(image))
    if cut is not None and random.random() < 0.75:
        image = _before(image, cut, _background(random, backgrounds), random)
        image = _cropped(image, random, least=0.75)
    else:
        image = _turned(image, random.uniform(-20, 20)) if random.random() < 0.5 else image
        image = _cropped(image, random, least=0.4)
    if random.random() < 0.3:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = _recoloured(image, random)
    shown = np.asarray(image)
    for name, disturb in PIXEL_CORRUPTIONS.items():
        if random.random() < CHANCES[name]:
            shown = disturb(shown, random.uniform(0.2, 0.8), random)
    return shown


def cut_out(picture: Picture) -> Mask | None:
    """The product's pixels (h, w) before a plain background; None where there is none.

    The background is what has the border's colour and hangs together with the border.
    """
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    colour = np.median(edge, axis=0)
    near = np.abs(picture - colour).max(axis=2) < PLAIN
    if (np.abs(edge - colour).max(axis=1) < PLAIN).mean() < BORDER_PLAIN:
        return None
    regions, _ = ndimage.label(near)
    touching = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    product: Mask = ~np.isin(regions, touching[touching > 0])
    product = ndimage.binary_opening(product, iterations=1)
    share = product.mean()
    return product if 0.02 < share < 0.95 else None


def _before(image: Image.Image, product: Mask, behind: Image.Image, random: Random) -> Image.Image:
    """The product, scaled, turned and moved, before another background."""
    soft = Image.fromarray(product * np.uint8(255)).filter(ImageFilter.GaussianBlur(0.8))
    box = soft.getbbox() or (0, 0, *image.size)
    piece, mask = image.crop(box), soft.crop(box)
    scale = random.uniform(0.45, 1.15) * VIEW_SIZE / max(piece.size)
    size = max(8, round(piece.width * scale)), max(8, round(piece.height * scale))
    angle = random.uniform(-35, 35)
    piece = piece.resize(size, Image.Resampling.BICUBIC).rotate(
        angle, Image.Resampling.BICUBIC, expand=True
    )
    mask = mask.resize(size, Image.Resampling.BICUBIC).rotate(
        angle, Image.Resampling.BICUBIC, expand=True
    )
    place = [
        round(random.uniform(-0.15, 1.15) * (whole - part))
        for whole, part in zip(behind.size, piece.size, strict=True)
    ]
    behind.paste(piece, (place[0], place[1]), mask)
    if random.random() < 0.3:  # shelves show a product many times
        shift = round(random.choice([-1, 1]) * piece.width * random.uniform(0.7, 1.0))
        behind.paste(piece, (place[0] + shift, place[1] + round(random.uniform(-20, 20))), mask)
    return behind


def _background(random: Random, backgrounds: Sequence[Picture]) -> Image.Image:
    size = (VIEW_SIZE, VIEW_SIZE)
    if not len(backgrounds) or random.random() < 0.15:
        return Image.new("RGB", size, tuple(int(v) for v in random.integers(0, 256, 3)))
    behind = Image.fromarray(backgrounds[int(random.integers(len(backgrounds)))])
    behind = _cropped(behind, random, least=0.4).resize(size, Image.Resampling.BICUBIC)
    return behind.filter(ImageFilter.GaussianBlur(float(random.uniform(0, 4))))


def _cropped(image: Image.Image, random: Random, least: float) -> Image.Image:
    """A random part with ``least`` to 1 of the area, its sides changed by at most 3:4 or 4:3."""
    area, aspect = random.uniform(least, 1.0), np.exp(random.uniform(-0.28, 0.28))
    width = min(1.0, np.sqrt(area * aspect)) * image.width
    height = min(1.0, np.sqrt(area / aspect)) * image.height
    left, top = random.uniform(0, image.width - width), random.uniform(0, image.height - height)
    return image.crop(
        (
            round(left),
            round(top),
            max(round(left + width), round(left) + 8),
            max(round(top + height), round(top) + 8),
        )
    )


def _turned(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(127, 127, 127))


def _recoloured(image: Image.Image, random: Random) -> Image.Image:
    image = ImageEnhance.Brightness(image).enhance(float(random.uniform(0.65, 1.3)))
    image = ImageEnhance.Contrast(image).enhance(float(random.uniform(0.7, 1.3)))
    image = ImageEnhance.Color(image).enhance(float(random.uniform(0.7, 1.3)))
    tint = random.uniform(0.9, 1.1, 3)  # lamps are warm or cold
    return Image.fromarray(np.clip(np.asarray(image) * tint, 0, 255).astype(np.uint8))
