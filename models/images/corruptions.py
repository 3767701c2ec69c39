"""What goes wrong in shoppers' photos, one function each on a uint8 picture (h, w, 3).

Every function takes a strength in 0..1 and a generator of random numbers, returns a new picture of
the same shape, and leaves it as it is at strength 0. They know nothing of the studio, so training
views use them too. Clutter is the one disturbance that needs the scene: see `shots`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Picture = NDArray[np.uint8]

CLUTTER = "clutter"
MOST_HIDDEN = 0.3
"""Share of the picture that the strongest occlusion covers, at most."""
DARKEST = 0.12
"""Of the light that is left by the strongest low light."""
SKIN = ((224, 178, 146), (196, 144, 110), (150, 102, 74), (104, 70, 52))


def occlusion(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Something before the thing, reaching in from a border: a hand, a card, a strap.

    At most `MOST_HIDDEN` × strength of the picture is covered.
    """
    if strength <= 0:
        return picture.copy()
    height, width = picture.shape[:2]
    kind = rng.integers(3)
    side = rng.integers(4)
    along = rng.uniform(0.25, 0.75)
    colour = rng.integers(20, 235, 3)
    room = MOST_HIDDEN * strength * 4  # drawn for the lower border, on a canvas of 1 × 1
    shape = Image.new("L", (256, 256))
    draw = ImageDraw.Draw(shape)
    if kind == 0:
        colour = np.array(SKIN[rng.integers(len(SKIN))])
        reach = min(0.55, 0.22 + 0.3 * room)
        for finger in range(4):
            x = along + 0.085 * (finger - 1.5)
            top = 1 - reach * (0.8 + 0.2 * np.sin(1.2 + finger)) * min(1.0, room)
            draw.rounded_rectangle(
                (256 * (x - 0.036), 256 * top, 256 * (x + 0.036), 300), 10, fill=255
            )
    elif kind == 1:
        half, reach = 0.28 * np.sqrt(room), 0.42 * np.sqrt(room)
        corners = np.array([(-half, 0.2), (half, 0.2), (half, -reach), (-half, -reach)])
        angle = rng.uniform(-0.5, 0.5)
        turned = corners @ np.array(
            [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        )
        draw.polygon([(256 * (along + x), 256 * (1 + y)) for x, y in turned], fill=255)
    else:
        half = 0.1 * room
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
    cover = np.rot90(np.asarray(shape), int(side))
    # A drawing larger than allowed is cut down from the inside out.
    sized = np.asarray(Image.fromarray(cover).resize((width, height)), np.float32) / 255
    limit = MOST_HIDDEN * strength
    if sized.mean() > limit:
        keep = np.cumsum(np.sort(sized.ravel())[::-1]) <= limit * sized.size
        order = np.argsort(-sized.ravel(), kind="stable")
        sized = sized.copy()
        sized.ravel()[order[~keep]] = 0
    shade = np.linspace(0.8, 1.1, width, dtype=np.float32)[None, :, None]
    front = np.clip(colour * shade * np.ones((height, 1, 1)), 0, 255)
    return _bytes(picture * (1 - sized[..., None]) + front * sized[..., None])


def low_light(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Little light, of a warm or cold lamp, with the noise of a sensor turned up."""
    if strength <= 0:
        return picture.copy()
    warm = rng.uniform(-1, 1)
    cast = 1 + strength * warm * np.array([0.16, 0.0, -0.2])
    light = 1 - (1 - DARKEST) * 0.8 * strength
    linear = (picture / np.float32(255)) ** 2.2 * cast * light**1.6
    noise = rng.normal(0, 1, picture.shape) * (0.004 + 0.03 * strength * np.sqrt(linear))
    return _bytes(255 * np.clip(linear + noise * strength, 0, 1) ** (1 / 2.2))


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
    return _bytes(total / steps)


def watermark(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Words laid over the picture: repeated at a slant, across the middle, or a banner below."""
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
    form = rng.integers(3)
    if form == 2:
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
        font = ImageFont.load_default(size=(0.075 if form == 0 else 0.13) * height)
        if form == 0:
            for row in np.arange(0.1, 2.0, 0.22):
                for column in np.arange(0.0, 2.0, 0.6):
                    at = (width * (column + 0.3 * (round(row / 0.22) % 2)), height * row)
                    draw.text(at, text, font=font, anchor="mm", fill=(*ink, alpha))
        else:
            draw.text((width, height), text, font=font, anchor="mm", fill=(*ink, alpha))
        turned = sheet.rotate(float(rng.uniform(15, 40)), Image.Resampling.BILINEAR)
        layer = turned.crop((width // 2, height // 2, width // 2 + width, height // 2 + height))
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
PIXEL: Mapping[str, Corruption] = {
    "occlusion": occlusion,
    "low_light": low_light,
    "blur": blur,
    "watermark": watermark,
    "low_resolution": low_resolution,
}
"""Those on pixels, in the order in which they happen to a photo."""
ALL: tuple[str, ...] = (CLUTTER, *PIXEL)
"""Every disturbance the studio knows."""


def corrupted(picture: Picture, strengths: Mapping[str, float], seed: list[int]) -> Picture:
    """Apply pixel disturbances in their order; unknown names (clutter) are passed over.

    Each draws from a stream of its own, so that leaving one out changes no other.
    """
    for number, (name, disturb) in enumerate(PIXEL.items()):
        if name in strengths:
            picture = disturb(picture, strengths[name], np.random.default_rng([*seed, number]))
    return picture


def _shifted(picture: Picture, down: int, right: int) -> Picture:
    """Moved by whole pixels, the border repeated."""
    rows = np.clip(np.arange(picture.shape[0]) - down, 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(picture.shape[1]) - right, 0, picture.shape[1] - 1)
    return picture[rows][:, columns]


def _bytes(values: NDArray[np.floating]) -> Picture:
    rounded: Picture = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
