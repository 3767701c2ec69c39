"""Pictures whose products are known: rendered scenes, and cut-out products pasted on others.

Shoppers' photos of one product with others around it, scenes of several (`models.synthetic`), and
products of real catalogs that were photographed on a plain background, pasted one, several or a
heap of them on textures and photos. Each picture comes with the mask and the boxes of its products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from models.arrays import Box
from models.images.corruptions import CLUTTER, corrupt
from models.images.letterbox import Picture
from models.synthetic.arrangement import arrange
from models.synthetic.backgrounds import background
from models.synthetic.camera import box_of
from models.synthetic.near_duplicates import sample_product
from models.synthetic.photography import shopper_photo
from models.synthetic.scene import PlacedProduct, Renderer
from models.training.embedding.augmentation import segment_foreground

SIDE = 256
PHOTOS = 3
"""Of each rendered product."""

MOST = 4
"""Products of a scene."""

CROWDED, ALONE = 0.1, 0.45
"""Intersection over the smaller of two boxes up to which pasted products may overlap; and the share
of pictures with one product alone."""

HEAP = 0.2
"""Share of pasted pictures that show a heap of one product, which counts as one."""

WEIGHT_BESIDE = 0.3
"""What an object counts that stands beside the product that a photo is of."""

Rng = np.random.Generator
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TaughtPicture:
    """A picture and its products.

    Attributes:
        picture: uint8 (h, w, 3).
        mask: the pixels of its products, (h, w).
        boxes: x0, y0, x1, y1 of each object, 0..1.
        weights: of each: 1 for a product, less for what is beside it.
    """

    picture: Picture
    mask: Mask
    boxes: tuple[Box, ...]
    weights: tuple[float, ...]


def rendered_photos(renderer: Renderer, seed: int, numbers: range) -> Iterator[TaughtPicture]:
    """Photos of single products, `PHOTOS` of each, most with others around it."""
    for number in numbers:
        product = sample_product(seed, number // PHOTOS)
        shot = shopper_photo(product, number % PHOTOS)
        camera, (main, *beside) = shot.scene.camera, shot.scene.products
        mask = renderer.mask(main, camera)
        boxes = [box_of(camera, one.points()) for one in beside]
        picture = corrupt(renderer.render(shot.scene), shot.strengths, shot.seed)
        weights = (1.0, *(WEIGHT_BESIDE for _ in boxes))
        yield TaughtPicture(picture, mask, (shot.box, *boxes), weights)


def rendered_scenes(renderer: Renderer, seed: int, numbers: range) -> Iterator[TaughtPicture]:
    """Scenes of one to four products, three most often."""
    for number in numbers:
        rng = np.random.default_rng([seed, number])
        count = int(rng.choice([1, 2, 3, 4], p=[0.1, 0.3, 0.4, 0.2]))
        scene = arrange([sample_product(seed, MOST * number + one) for one in range(count)], number)
        shown = scene.scene.products
        everything = PlacedProduct(
            shown[0].design, tuple(patch for one in shown for patch in one.patches)
        )
        mask = renderer.mask(everything, scene.scene.camera)
        strengths = {name: float(rng.uniform(0.2, 0.8)) for name in _CHANCES if rng.random() < 0.2}
        picture = corrupt(renderer.render(scene.scene), strengths, [seed, number])
        yield TaughtPicture(picture, mask, scene.boxes, (1.0,) * count)


_CHANCES = ("low_light", "blur", "low_resolution")
assert CLUTTER not in _CHANCES  # noqa: S101 - it is no corruption of pixels


def cut_out(picture: Picture) -> Image.Image | None:
    """A product on a plain background as RGBA, cropped to it; None where it has another one."""
    image = Image.fromarray(picture)
    image.thumbnail((320, 320), Image.Resampling.BICUBIC)
    mask = segment_foreground(np.asarray(image))
    if mask is None:
        return None
    image.putalpha(Image.fromarray(mask * np.uint8(255)).filter(ImageFilter.GaussianBlur(0.7)))
    return image.crop(Image.fromarray(mask).getbbox())


def pasted(
    cutouts: Sequence[Image.Image], backgrounds: Sequence[Picture], seed: int, numbers: range
) -> Iterator[TaughtPicture]:
    """Cut-out products on photos or textures: one, several, or a heap of one."""
    for number in numbers:
        rng = np.random.default_rng([seed, number, 1])
        canvas = _backdrop(backgrounds, rng)
        heap = rng.random() < HEAP
        layers = _heap(cutouts, canvas.size, rng) if heap else _several(cutouts, canvas.size, rng)
        mask = np.zeros((canvas.height, canvas.width), bool)
        boxes = []
        for layer, left, top in layers:
            alone = Image.new("L", canvas.size)
            alone.paste(layer.getchannel("A"), (left, top))
            canvas.paste(layer, (left, top), layer)
            shown = np.asarray(alone) > 127
            mask |= shown
            if box := _box_of(shown):
                boxes.append(box)
        if heap and boxes:
            low, high = np.min(boxes, axis=0), np.max(boxes, axis=0)
            boxes = [(float(low[0]), float(low[1]), float(high[2]), float(high[3]))]
        strengths = {name: float(rng.uniform(0.2, 0.7)) for name in _CHANCES if rng.random() < 0.15}
        picture = corrupt(np.asarray(canvas), strengths, [seed, number])
        yield TaughtPicture(picture, mask, tuple(boxes), (1.0,) * len(boxes))


def _several(
    cutouts: Sequence[Image.Image], size: tuple[int, int], rng: Rng
) -> list[tuple[Image.Image, int, int]]:
    count = 1 if rng.random() < ALONE else int(rng.integers(2, MOST + 1))
    layers: list[tuple[Image.Image, int, int]] = []
    taken: list[tuple[int, int, int, int]] = []
    for _ in range(count):
        one = cutouts[int(rng.integers(len(cutouts)))]
        largest = rng.uniform(0.3, 0.98) if count == 1 else rng.uniform(0.22, 0.6)
        layer = _sized(one, largest * min(size), rng, tilt=40)
        for _ in range(12):
            # A product alone is near the middle as often as not, and seldom cut off.
            spread = rng.uniform(0.2, 0.8, 2) if rng.random() < 0.5 else rng.uniform(-0.1, 1.1, 2)
            left = round(spread[0] * (size[0] - layer.width))
            top = round(spread[1] * (size[1] - layer.height))
            box = left, top, left + layer.width, top + layer.height
            if all(_shared(box, other) < CROWDED for other in taken):
                taken.append(box)
                layers.append((layer, left, top))
                break
    return layers


def _heap(
    cutouts: Sequence[Image.Image], size: tuple[int, int], rng: Rng
) -> list[tuple[Image.Image, int, int]]:
    """Many of one product on a rectangle, which often is most of the picture."""
    one = cutouts[int(rng.integers(len(cutouts)))]
    wide, high = (rng.uniform(0.55, 1.15, 2) * size).astype(int)
    left, top = (rng.uniform(0, 1, 2) * (np.array(size) - (wide, high))).astype(int)
    side = rng.uniform(0.15, 0.34) * min(size)
    layers = []
    rows, columns = max(2, round(high / side * 1.1)), max(2, round(wide / side * 1.1))
    for row in range(rows):
        for column in range(columns):
            if rng.random() < 0.12:
                continue
            layer = _sized(one, side * rng.uniform(0.9, 1.2), rng, tilt=60)
            x = left + (column + rng.uniform(-0.2, 0.2)) * (wide - side) / (columns - 1)
            y = top + (row + rng.uniform(-0.2, 0.2)) * (high - side) / (rows - 1)
            layers.append((layer, round(x), round(y)))
    return layers


def _sized(cutout: Image.Image, side: float, rng: Rng, tilt: float) -> Image.Image:
    scale = side / max(cutout.size)
    size = max(6, round(cutout.width * scale)), max(6, round(cutout.height * scale))
    angle = float(np.clip(rng.normal(0, tilt / 2), -tilt, tilt))
    turned = cutout.resize(size, Image.Resampling.BICUBIC).rotate(
        angle, Image.Resampling.BICUBIC, expand=True
    )
    red, green, blue, alpha = turned.split()
    gain = rng.uniform(0.65, 1.2) * rng.uniform(0.92, 1.08, 3)
    lit = [
        band.point([min(255, round(value * factor)) for value in range(256)])
        for band, factor in zip((red, green, blue), gain, strict=True)
    ]
    return Image.merge("RGBA", (*lit, alpha)).crop(turned.getbbox())


def _backdrop(backgrounds: Sequence[Picture], rng: Rng) -> Image.Image:
    aspect = float(rng.choice([1.0, 1.0, 0.75, 4 / 3]))
    size = (SIDE, round(SIDE / aspect)) if aspect >= 1 else (round(SIDE * aspect), SIDE)
    kind = rng.random()
    if kind < 0.4 or not backgrounds:
        image = Image.fromarray(background(rng))
    elif kind < 0.5:
        grey = int(rng.integers(150, 256))
        image = Image.new("RGB", size, tuple(int(v) for v in grey - rng.integers(0, 16, 3)))
    else:
        image = Image.fromarray(backgrounds[int(rng.integers(len(backgrounds)))])
        part = rng.uniform(0.35, 0.9)
        wide, high = image.width * part, image.height * part
        left, top = rng.uniform(0, image.width - wide), rng.uniform(0, image.height - high)
        image = image.crop((int(left), int(top), int(left + wide), int(top + high)))
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 2.5))))
    return image.resize(size, Image.Resampling.BICUBIC)


def _box_of(mask: Mask) -> Box | None:
    """The box of a mask in 0..1; None where it is empty."""
    box = Image.fromarray(mask).getbbox()
    height, width = mask.shape
    return box and (box[0] / width, box[1] / height, box[2] / width, box[3] / height)


def _shared(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Intersection over the smaller of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return max(wide, 0) * max(high, 0) / max(1, min(areas))
