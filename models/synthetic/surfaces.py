"""Procedural textures of a product: patterns, grains, labels and watch dials.

A texture is uint8 (height, width, 3), its middle column the front of the product. Patterns are
drawn in lengths of the surface, not in texture coordinates, so that dots are round on every body.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.synthetic.product_sampler import RGB, TEXTURE, Design, Label, Surface, rng_for
from models.synthetic.taxonomy import MATERIALS

Texture = NDArray[np.uint8]
Field = NDArray[np.floating]
Grain = NDArray[np.float32]

HEIGHT = 192
MAX_WIDTH = 640

DARK = Surface("plastic", "black", (30, 30, 33))
METAL = Surface("steel", "steel", (205, 206, 210))
GLOW = Surface("paper", "cream", (255, 244, 214))
LACE = Surface("fabric", "white", (236, 234, 228))


def surface_of(design: Design, role: str) -> Surface:  # noqa: PLR0911 - a table
    """The surface that covers patches of a role."""
    match role:
        case "main":
            return design.main
        case "accent":
            return design.accent
        case "metal":
            return METAL
        case "glow":
            return GLOW
        case "lace":
            return LACE if sum(design.main.rgb) < 600 else DARK
        case "sole":
            light = (
                design.index % 2 == 0
                if design.near_duplicate_of is None
                else design.near_duplicate_of % 2 == 0
            )
            white = Surface("rubber", "white", (232, 230, 222))
            return white if light else Surface("rubber", "accent", design.accent.rgb)
        case _:
            return DARK


def texture_of(design: Design, role: str, aspect: float) -> Texture | None:
    """The texture of a role, None for a single colour."""
    surface = surface_of(design, role)
    rng = rng_for(
        design.seed,
        design.near_duplicate_of if design.near_duplicate_of is not None else design.index,
        TEXTURE,
    )
    if role == "face":
        return dial(design, rng)
    label = design.label if role == "main" and design.kind_name != "watch" else None
    if surface.pattern == "plain" and MATERIALS[surface.material].grain == "none" and label is None:
        return None
    width = int(np.clip(HEIGHT * aspect, 64, MAX_WIDTH))
    drawn = patterned(surface, width, HEIGHT, aspect, rng)
    if label is not None:
        drawn = print_label(drawn, label, wide=0.34 if design.kind_name == "can" else 0.22)
    return drawn


def patterned(
    surface: Surface, width: int, height: int, aspect: float, rng: np.random.Generator
) -> Texture:
    """A surface's colour, pattern and grain as a texture of that size."""
    x, y = np.meshgrid(
        np.linspace(0, aspect, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32)
    )
    cover = np.clip(pattern(surface.pattern, x * surface.scale, y * surface.scale), 0, 1)[..., None]
    colour = (1 - cover) * np.array(surface.rgb, np.float32) + cover * np.array(
        surface.second_rgb, np.float32
    )
    shade = grain(MATERIALS[surface.material].grain, width, height, rng)[..., None]
    drawn: Texture = np.clip(colour * shade, 0, 255).astype(np.uint8)
    return drawn


def pattern(name: str, x: Field, y: Field) -> Field:  # noqa: PLR0911 - a table
    """The share of the second colour at each point, 0..1; one repeat has length 1."""
    cell_x, cell_y = x - np.floor(x) - 0.5, y - np.floor(y) - 0.5
    match name:
        case "stripes":
            return _soft(np.abs(cell_x) - 0.22)
        case "bands":
            return _soft(np.abs(cell_y) - 0.22)
        case "dots":
            shifted = (x + 0.5 * (np.floor(y) % 2)) % 1 - 0.5
            return _soft(np.hypot(shifted, cell_y) - 0.27)
        case "checks":
            return np.asarray((np.floor(x * 1.4) + np.floor(y * 1.4)) % 2 == 0, np.float32)
        case "chevrons":
            return _soft(np.abs((y + np.abs(cell_x)) % 1 - 0.5) - 0.23)
        case "waves":
            return _soft(np.abs((y + 0.18 * np.sin(2 * np.pi * x)) % 1 - 0.5) - 0.2)
        case "triangles":
            return _soft(np.abs(cell_x) * 1.1 + cell_y - 0.12)
        case "flowers":
            shifted = (x + 0.5 * (np.floor(y) % 2)) % 1 - 0.5
            radius, angle = np.hypot(shifted, cell_y), np.arctan2(cell_y, shifted)
            petals = _soft(radius - 0.2 - 0.15 * np.cos(5 * angle))
            return np.asarray(petals * (1 - _soft(radius - 0.09)))
        case "leaves":
            turned_x, turned_y = cell_x + cell_y, cell_x - cell_y
            leaf = _soft(np.abs(turned_x) - 0.22 * np.cos(np.clip(turned_y * 2.2, -1.57, 1.57)))
            return np.asarray(leaf * (np.abs(turned_x) > 0.025) * (np.abs(turned_y) < 0.7))
        case _:
            return np.zeros_like(x)


def grain(  # noqa: PLR0911 - a table
    name: str, width: int, height: int, rng: np.random.Generator
) -> Grain:
    """The fine structure of a material as a factor around 1, (height, width)."""
    match name:
        case "wood":
            veins = noise(rng, width, height, 5, 28)
            lines = np.sin(30 * veins + 5 * noise(rng, width, height, 3, 3))
            return np.asarray(1 + 0.09 * lines + 0.12 * (veins - 0.5), np.float32)
        case "marble":
            field = noise(rng, width, height, 4, 4) + 0.5 * noise(rng, width, height, 9, 9)
            veins = np.exp(-(((field % 0.34) - 0.17) ** 2) / 0.0012)
            return np.asarray(1 - 0.32 * veins, np.float32)
        case "weave":
            x, y = np.meshgrid(np.arange(width), np.arange(height))
            return np.asarray(1 + 0.07 * np.sin(x * 1.6) * np.sin(y * 1.6), np.float32)
        case "leather":
            return np.float32(0.9) + np.float32(0.2) * noise(
                rng, width, height, width // 6, height // 6
            )
        case "speckle":
            return np.float32(0.88) + np.float32(0.24) * noise(
                rng, width, height, width // 3, height // 3
            )
        case "straw":
            x, y = np.meshgrid(np.arange(width), np.arange(height))
            weave = np.sin(x * 0.8) * np.where((y // 5) % 2 == 0, 1, -1)
            return np.asarray(1 + 0.16 * weave * np.abs(np.sin(y * 0.63)), np.float32)
        case _:
            return np.ones((height, width), np.float32)


def noise(rng: np.random.Generator, width: int, height: int, across: int, up: int) -> Grain:
    """Value noise in about 0..1, (height, width), with that many control points each way."""
    coarse = rng.random((max(up, 2), max(across, 2)), dtype=np.float32)
    return np.asarray(
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float32
    )


def print_label(texture: Texture, label: Label, *, wide: float) -> Texture:
    """Print a label on the middle of a texture; `wide` is its share of the width."""
    image = Image.fromarray(texture)
    draw = ImageDraw.Draw(image)
    width, height = image.size
    half = wide * width / 2
    x, y = width / 2, height * 0.52
    high = min(0.2 * height, half * 0.6)
    match label.form:
        case "band":
            draw.rectangle((0, y - high, width, y + high), fill=label.rgb)
            draw.line((0, y - high - 4, width, y - high - 4), fill=label.rgb, width=2)
            draw.line((0, y + high + 4, width, y + high + 4), fill=label.rgb, width=2)
        case "badge":
            high = min(half * 0.8, 0.3 * height)
            draw.ellipse((x - half, y - high, x + half, y + high), fill=label.rgb)
            draw.ellipse(
                (x - half + 4, y - high + 4, x + half - 4, y + high - 4), outline=label.ink
            )
        case "plate":
            draw.rounded_rectangle((x - half, y - high, x + half, y + high), 6, fill=label.rgb)
        case "tall":
            tall = min(half * 1.5, 0.42 * height)
            draw.rectangle((x - half * 0.8, y - tall, x + half * 0.8, y + tall), fill=label.rgb)
            draw.rectangle(
                (x - half * 0.8, y + tall * 0.55, x + half * 0.8, y + tall * 0.62), fill=label.ink
            )
            draw.ellipse(
                (x - half * 0.3, y - tall * 0.8, x + half * 0.3, y - tall * 0.8 + half * 0.6),
                fill=label.ink,
            )
    ink = label.rgb if label.form == "bare" else label.ink
    room = 2 * half * (0.72 if label.form == "tall" else 0.86)
    font = ImageFont.load_default(size=font_size(label.text, room, 1.5 * high))
    draw.text((x, y), label.text, fill=ink, font=font, anchor="mm")
    return np.asarray(image)


def font_size(text: str, width: float, height: float) -> float:
    """The font size at which a text fits into so many pixels."""
    left, top, right, bottom = ImageFont.load_default(size=40).getbbox(text)
    return float(max(6.0, 40 * min(width / (right - left), height / (bottom - top))))


def dial(design: Design, rng: np.random.Generator) -> Texture:
    """The face of a watch: marks, hands at ten past ten or near, and the brand."""
    side = 160
    light = design.label.rgb if design.label is not None else (245, 245, 240)
    ink: RGB = (20, 20, 24) if sum(light) > 380 else (245, 245, 240)
    image = Image.new("RGB", (side, side), light)
    draw = ImageDraw.Draw(image)
    centre = side / 2
    form = design.label.form if design.label is not None else "band"
    for mark in range(12):
        angle = np.pi * mark / 6
        way = np.array([np.sin(angle), -np.cos(angle)])
        if form in {"badge", "tall"}:
            at = centre + way * side * 0.39
            draw.ellipse((at[0] - 4, at[1] - 4, at[0] + 4, at[1] + 4), fill=ink)
        else:
            inner = 0.33 if form != "bare" or mark % 3 == 0 else 0.39
            ends = [tuple(centre + way * side * share) for share in (inner, 0.44)]
            draw.line([*ends[0], *ends[1]], fill=ink, width=6 if mark % 3 == 0 else 3)
    minute = rng.uniform(0, 2 * np.pi)
    for angle, length, width in ((minute, 0.36, 4), (rng.uniform(0, 2 * np.pi), 0.24, 7)):
        draw.line(
            (
                centre,
                centre,
                centre + np.sin(angle) * side * length,
                centre - np.cos(angle) * side * length,
            ),
            fill=ink,
            width=width,
        )
    draw.ellipse((centre - 5, centre - 5, centre + 5, centre + 5), fill=ink)
    font = ImageFont.load_default(size=font_size(design.brand, side * 0.36, side * 0.09))
    draw.text((centre, side * 0.33), design.brand, fill=ink, font=font, anchor="mm")
    return np.asarray(image)


def _soft(distance: Field) -> Field:
    """1 inside (negative distance), 0 outside, with a soft edge."""
    return np.asarray(np.clip(0.5 - distance / 0.06, 0, 1), np.float32)
