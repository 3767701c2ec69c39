"""Corruptions of shoppers' photos, one function each on a uint8 picture (h, w, 3).

In the manner of Hendrycks and Dietterich 2019 (ImageNet-C), for what shoppers do: every function
takes a strength in 0..1 and a generator of random numbers, and returns a new picture of the same
shape, an unchanged one at strength 0. They need no scene, so that training views use them too;
clutter, which needs one, is added by the renderer (`models.synthetic.photography`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from models.images.letterbox import Picture

CLUTTER = "clutter"
MAX_OCCLUSION = 0.3
"""Share of the picture that the strongest occlusion covers, at most."""
MIN_LIGHT = 0.12
"""Share of the light that the strongest low light leaves."""
SKIN_TONES = ((224, 178, 146), (196, 144, 110), (150, 102, 74), (104, 70, 52))


def occlusion(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Something before the product, reaching in from a border: a hand, a card, a strap.

    At most `MAX_OCCLUSION` × strength of the picture is covered.
    """
    if strength <= 0:
        return picture.copy()
    height, width = picture.shape[:2]
    kind = rng.integers(3)
    side = rng.integers(4)
    along = rng.uniform(0.25, 0.75)
    colour = rng.integers(20, 235, 3)
    size = MAX_OCCLUSION * strength * 4  # drawn for the lower border, on a canvas of 1 × 1
    shape = Image.new("L", (256, 256))
    draw = ImageDraw.Draw(shape)
    if kind == 0:
        colour = np.array(SKIN_TONES[rng.integers(len(SKIN_TONES))])
        reach = min(0.55, 0.22 + 0.3 * size)
        for finger in range(4):
            x = along + 0.085 * (finger - 1.5)
            top = 1 - reach * (0.8 + 0.2 * np.sin(1.2 + finger)) * min(1.0, size)
            draw.rounded_rectangle(
                (256 * (x - 0.036), 256 * top, 256 * (x + 0.036), 300), 10, fill=255
            )
    elif kind == 1:
        half, reach = 0.28 * np.sqrt(size), 0.42 * np.sqrt(size)
        corners = np.array([(-half, 0.2), (half, 0.2), (half, -reach), (-half, -reach)])
        angle = rng.uniform(-0.5, 0.5)
        rotated = corners @ np.array(
            [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        )
        draw.polygon([(256 * (along + x), 256 * (1 + y)) for x, y in rotated], fill=255)
    else:
        half = 0.1 * size
        lean = rng.uniform(-0.3, 0.3)
        draw.polygon(
            [
                (256 * (along + lean - half), 0),
                (256 * (along + lean + half), 0),
                (256 * (along - lean + half), 256),
                (256 * (along - lean - half), 256),
            ],
            fill=255,
        )
    mask = np.rot90(np.asarray(shape), int(side))
    alpha = np.asarray(Image.fromarray(mask).resize((width, height)), np.float32) / 255
    limit = MAX_OCCLUSION * strength
    if alpha.mean() > limit:  # what covers too much keeps its most opaque pixels
        keep = np.cumsum(np.sort(alpha.ravel())[::-1]) <= limit * alpha.size
        order = np.argsort(-alpha.ravel(), kind="stable")
        alpha = alpha.copy()
        alpha.ravel()[order[~keep]] = 0
    shade = np.linspace(0.8, 1.1, width, dtype=np.float32)[None, :, None]
    front = np.clip(colour * shade * np.ones((height, 1, 1)), 0, 255)
    return _to_bytes(picture * (1 - alpha[..., None]) + front * alpha[..., None])


def low_light(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Little light, of a warm or cold lamp, with the noise of a sensor at high gain."""
    if strength <= 0:
        return picture.copy()
    warm = rng.uniform(-1, 1)
    cast = 1 + strength * warm * np.array([0.16, 0.0, -0.2])
    light = 1 - (1 - MIN_LIGHT) * 0.8 * strength
    linear = (picture / np.float32(255)) ** 2.2 * cast * light**1.6
    noise = rng.normal(0, 1, picture.shape) * (0.004 + 0.03 * strength * np.sqrt(linear))
    return _to_bytes(255 * np.clip(linear + noise * strength, 0, 1) ** (1 / 2.2))


def blur(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Out of focus, or shaken: up to 1.6 % of the side."""
    radius = 0.016 * strength * max(picture.shape[:2])
    if radius < 0.05:
        return picture.copy()
    if rng.random() < 0.5:
        return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius * 0.8)))
    angle, steps = rng.uniform(0, np.pi), int(np.ceil(2 * radius)) + 1
    total = np.zeros(picture.shape, np.float32)
    reach = max(1.2 * radius, 1.0)  # whole pixels: less would be none
    for step in np.linspace(-reach, reach, steps):
        down, right = round(step * np.sin(angle)), round(step * np.cos(angle))
        total += _shifted(picture, down, right)
    return _to_bytes(total / steps)


def watermark(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Words over the picture: repeated at a slant, across the middle, or in a banner."""
    if strength <= 0:
        return picture.copy()
    height, width = picture.shape[:2]
    words = (
        "SAMPLE",
        "SALE -50%",
        "shop24",
        "FREE SHIPPING",
        "© photo",
        "@bestdeals",
        "NEW IN",
        "www.offer.example",
    )
    text = words[rng.integers(len(words))]
    light = rng.random() < 0.6
    ink = (255, 255, 255) if light else tuple(int(value) for value in rng.integers(0, 120, 3))
    layer = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    alpha = int(255 * (0.15 + 0.5 * strength))
    layout = rng.integers(3)
    if layout == 2:
        draw = ImageDraw.Draw(layer)
        font = ImageFont.load_default(size=0.075 * height)
        back = tuple(int(value) for value in rng.integers(0, 255, 3))
        top = height * (0.86 if rng.random() < 0.7 else 0.02)
        draw.rectangle((0, top, width, top + 0.12 * height), fill=(*back, alpha))
        draw.text(
            (width / 2, top + 0.06 * height),
            text,
            font=font,
            anchor="mm",
            fill=(255, 255, 255, min(255, alpha + 60)),
        )
    else:
        sheet = Image.new("RGBA", (2 * width, 2 * height), (*ink, 0))
        draw = ImageDraw.Draw(sheet)
        font = ImageFont.load_default(size=(0.075 if layout == 0 else 0.13) * height)
        if layout == 0:
            for row in np.arange(0.1, 2.0, 0.22):
                for column in np.arange(0.0, 2.0, 0.6):
                    at = (width * (column + 0.3 * (round(row / 0.22) % 2)), height * row)
                    draw.text(at, text, font=font, anchor="mm", fill=(*ink, alpha))
        else:
            draw.text((width, height), text, font=font, anchor="mm", fill=(*ink, alpha))
        slanted = sheet.rotate(float(rng.uniform(15, 40)), Image.Resampling.BILINEAR)
        layer = slanted.crop((width // 2, height // 2, width // 2 + width, height // 2 + height))
    return np.asarray(
        Image.alpha_composite(Image.fromarray(picture).convert("RGBA"), layer).convert("RGB")
    )


def low_resolution(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Scaled down up to 5 times, saved as a small JPEG, and scaled up again."""
    if strength <= 0:
        return picture.copy()
    height, width = picture.shape[:2]
    factor = 1 + 4 * strength * rng.uniform(0.7, 1.0)
    small = Image.fromarray(picture).resize(
        (max(8, round(width / factor)), max(8, round(height / factor))), Image.Resampling.BOX
    )
    file = BytesIO()
    small.save(file, "JPEG", quality=round(80 - 50 * strength))
    again = Image.open(file).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(again.convert("RGB"))


Corruption = Callable[[Picture, float, np.random.Generator], Picture]
PIXEL_CORRUPTIONS: Mapping[str, Corruption] = {
    "occlusion": occlusion,
    "low_light": low_light,
    "blur": blur,
    "watermark": watermark,
    "low_resolution": low_resolution,
}
"""Those that need no scene, in the order in which they are applied to a photo."""
CORRUPTION_NAMES: tuple[str, ...] = (CLUTTER, *PIXEL_CORRUPTIONS)
"""All corruptions of a rendered photo."""


def corrupt(picture: Picture, strengths: Mapping[str, float], seed: list[int]) -> Picture:
    """Apply the pixel corruptions among ``strengths`` in their order; other names are ignored.

    Each has a random generator of its own, so that leaving one out changes no other.
    """
    for number, (name, apply) in enumerate(PIXEL_CORRUPTIONS.items()):
        if name in strengths:
            picture = apply(picture, strengths[name], np.random.default_rng([*seed, number]))
    return picture


def _shifted(picture: Picture, down: int, right: int) -> Picture:
    """Moved by whole pixels, the border repeated."""
    rows = np.clip(np.arange(picture.shape[0]) - down, 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(picture.shape[1]) - right, 0, picture.shape[1] - 1)
    return picture[rows][:, columns]


def _to_bytes(values: NDArray[np.floating]) -> Picture:
    rounded: Picture = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
