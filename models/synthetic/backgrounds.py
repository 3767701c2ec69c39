"""Random textured backgrounds, uint8 (height, width, 3): floors, walls and cloths.

For the floors and walls of scenes.
"""

from __future__ import annotations

import numpy as np

from models.synthetic.product_sampler import Surface
from models.synthetic.surfaces import Field, Texture, grain, noise, patterned

KINDS = ("wood", "tiles", "cloth", "marble", "carpet", "pattern", "blotches", "concrete")

TONES = ((198, 158, 112), (120, 84, 58), (226, 220, 208), (150, 152, 150), (84, 92, 100),
         (172, 132, 120), (110, 130, 112), (206, 190, 160), (92, 110, 150), (60, 56, 54),
         (190, 90, 80), (230, 226, 222))  # fmt: skip


def background(rng: np.random.Generator, size: int = 256) -> Texture:
    """One background (size, size, 3)."""
    tone = np.array(TONES[rng.integers(len(TONES))], np.float32) * rng.uniform(0.75, 1.1)
    other = np.array(TONES[rng.integers(len(TONES))], np.float32)
    kind = KINDS[rng.integers(len(KINDS))]
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    field: Field
    match kind:
        case "wood":
            boards = rng.integers(3, 8)
            shade = 1 + 0.12 * (rng.random(boards + 1)[(x * boards).astype(int)] - 0.5)
            seams = np.where((x * boards) % 1 < 0.03, 0.55, 1.0)
            field = tone * (shade * seams * grain("wood", size, size, rng))[..., None]
        case "tiles":
            count = rng.integers(3, 9)
            seams = (np.minimum((x * count) % 1, (y * count) % 1) < 0.05).astype(np.float32)
            field = tone * (1 - seams[..., None]) + other * seams[..., None]
        case "marble":
            field = tone * grain("marble", size, size, rng)[..., None]
        case "pattern":
            name = ("stripes", "checks", "dots", "waves", "leaves")[rng.integers(5)]
            surface = Surface(
                "paper", "", _rgb(tone), name, "", _rgb(other), float(rng.uniform(4, 12))
            )
            field = patterned(surface, size, size, 1.0, rng).astype(np.float32)
        case "blotches":
            mix = np.clip(2.5 * noise(rng, size, size, 5, 5) - 0.75, 0, 1)[..., None]
            field = tone * mix + other * (1 - mix)
        case "cloth":
            folds = noise(rng, size, size, 7, 2)
            field = tone * ((0.72 + 0.5 * folds) * grain("weave", size, size, rng))[..., None]
        case "carpet":
            field = tone * (0.7 + 0.6 * noise(rng, size, size, size // 2, size // 2))[..., None]
        case _:
            rough = noise(rng, size, size, 6, 6)
            fine = noise(rng, size, size, size // 3, size // 3)
            field = tone * (0.8 + 0.3 * rough + 0.1 * fine)[..., None]
    drawn: Texture = np.clip(field, 0, 255).astype(np.uint8)
    return drawn


def _rgb(tone: Field) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in np.clip(tone, 0, 255))
    return red, green, blue
