"""Shapes of bags."""

from __future__ import annotations

import numpy as np

from models.synthetic.meshes import Patch, box, loft, mirrored, rounded, smooth, tube
from models.synthetic.product_sampler import Design


def handbag(design: Design) -> list[Patch]:
    """A body narrower at the top, one or two arched handles, and a closure."""
    width, height, depth = (design.size(name) for name in ("width", "height", "depth"))
    taper, reach = design.size("taper"), design.size("handle")
    parts: list[Patch] = []
    if design.style == "bowling bag":
        outline = rounded(width, height * 1.15, 3.0)
        sections = []
        for y, scale in [
            (-0.5, 0.9),
            (-0.42, 0.98),
            (-0.2, 1.0),
            (0.2, 1.0),
            (0.42, 0.98),
            (0.5, 0.9),
        ]:
            sections.append(
                np.column_stack(
                    [
                        outline[:, 0] * scale,
                        np.full(len(outline), y * depth * 1.2),
                        outline[:, 1] * scale + height * 0.575,
                    ]
                )
            )
        parts += _front_mapped(loft(np.stack(sections)), width)
        parts += tube(
            [
                (-width * 0.46, 0, height * 0.93),
                (-width * 0.2, 0, height * 1.15),
                (width * 0.2, 0, height * 1.15),
                (width * 0.46, 0, height * 0.93),
            ],
            0.02,
            "metal",
        )
        top, at = height * 1.05, 0.3
    else:
        parts += _front_mapped(_bag(width, depth, height, taper), width)
        top, at = height * 0.98, 0.36
    for side in (-1, 1) if design.style != "flap bag" else (0,):
        y = side * depth * 0.3 * taper
        angle = np.linspace(np.pi, 0, 22)
        arch = np.column_stack(
            [
                at * width * taper * np.cos(angle),
                np.full(22, y) * (1 - 0.4 * np.sin(angle)),
                top + reach * np.sin(angle) ** 0.8,
            ]
        )
        arch = np.concatenate([[arch[0] - [0, 0, 0.3]], arch, [arch[-1] - [0, 0, 0.3]]])
        parts += tube(arch, 0.042, "accent", flat=0.8)
    if design.style == "flap bag":
        parts += _flap(design, width, depth, height, taper)
    return parts


def backpack(design: Design) -> list[Patch]:
    """A tall bag with a front pocket, a loop on top and two straps behind."""
    width, height, depth = (design.size(name) for name in ("width", "height", "depth"))
    top, pocket = design.size("top"), design.size("pocket")
    outline = rounded(width, depth, 3.6)
    levels = [
        (0.0, 0.86),
        (0.06, 0.98),
        (0.5, 1.0),
        (0.8, (1 + top) / 2),
        (0.93, top),
        (1.0, top * 0.6),
    ]
    if design.style == "roll top":
        levels = [(0.0, 0.86), (0.06, 0.98), (0.75, 1.0), (0.95, 0.98), (1.0, 0.96)]
    curve = smooth([(z, s) for z, s in levels], 4)
    sections = np.stack(
        [
            np.column_stack(
                [
                    outline[:, 0] * s,
                    outline[:, 1] * (s if design.style != "roll top" else min(s, 1.9 - 1.6 * z)),
                    np.full(len(outline), z * height),
                ]
            )
            for z, s in curve
        ]
    )
    parts = _front_mapped(loft(sections), width)
    pouch = box(width * 0.74, depth * 0.5, height * pocket, "accent", bevel=0.5, power=4)
    parts += [p.translated(y=-depth * 0.46, z=height * 0.08) for p in pouch]
    zip_at = height * (0.08 + pocket * 0.78)
    parts += tube(
        [(-width * 0.3, -depth * 0.715, zip_at), (width * 0.3, -depth * 0.715, zip_at)],
        0.016,
        "metal",
    )
    if design.style == "roll top":
        parts += tube(
            [(-width * 0.5, 0, height * 1.02), (width * 0.5, 0, height * 1.02)], 0.1, "main"
        )
        parts += tube(
            [(0, -depth * 0.3, height * 0.98), (0, -depth * 0.54, height * 0.62)], 0.035, "accent"
        )
    elif design.style == "flap":
        cover = box(width * 0.9, depth * 0.9, height * 0.3, "accent", bevel=0.7, power=4, top=0.92)
        parts += [p.translated(y=-0.1 * depth, z=height * 0.76) for p in cover]
    angle = np.linspace(np.pi, 0, 16)
    loop = np.column_stack(
        [0.16 * np.cos(angle), np.full(16, 0.12), height * 0.97 + 0.2 * np.sin(angle)]
    )
    parts += tube(loop, 0.03, "accent")
    strap = smooth(
        [
            (width * 0.24, depth * 0.3, height * 0.93),
            (width * 0.42, depth * 0.75, height * 0.72),
            (width * 0.5, depth * 0.75, height * 0.4),
            (width * 0.42, depth * 0.4, height * 0.08),
        ],
        6,
    )
    parts += mirrored(tube(strap, 0.055, "accent", flat=0.6))
    return parts


def _bag(width: float, depth: float, height: float, taper: float) -> list[Patch]:
    outline = rounded(width, depth, 4.5)
    curve = smooth([(0.0, 0.93), (0.05, 1.0), (0.5, 1 - (1 - taper) * 0.45), (1.0, taper)], 4)
    sections = np.stack(
        [
            np.column_stack(
                [
                    outline[:, 0] * s,
                    outline[:, 1] * s * (1 - 0.45 * z),
                    np.full(len(outline), z * height),
                ]
            )
            for z, s in curve
        ]
    )
    return loft(sections)


def _front_mapped(patches: list[Patch], width: float) -> list[Patch]:
    """Map the texture to the front and the back, so that a label is in the middle."""
    wall, *lids = patches
    low, high = wall.points[..., 2].min(), wall.points[..., 2].max()
    uv = np.empty_like(wall.uv)
    uv[..., 0] = 0.5 + wall.points[..., 0] / width / 2
    uv[..., 1] = (wall.points[..., 2] - low) / (high - low)
    aspect = 2 * width / float(high - low)
    return [Patch(wall.points, uv, wall.role, wraps=True, aspect=aspect), *lids]


def _flap(design: Design, width: float, depth: float, height: float, taper: float) -> list[Patch]:
    """A cover over the front, and a clasp on it."""
    fall = design.size("flap") * height
    columns = np.linspace(-1, 1, 17)
    path = [(0.28, 1.0), (0.0, 1.03), (-0.3, 1.01), (-0.42, 0.96)]
    rows = [(y * depth * taper, z * height) for y, z in path]
    for share in (0.35, 0.7, 1.0):
        z = 0.96 * height - fall * share
        scale = np.interp(z / height, [0, 1], [1.0, taper * 0.55])
        rows.append((-depth * 0.5 * scale - 0.05, z))
    grid = np.empty((len(rows), 17, 3))
    for row, (y, z) in enumerate(rows):
        narrow = 1.0 - 0.12 * max(0, row - 4)
        grid[row, :, 0] = columns * width * 0.48 * taper * narrow * (1.04 if row > 3 else 1.0)
        grid[row, :, 1] = y
        grid[row, :, 2] = z - (0.05 * np.abs(columns) ** 3 if row < 4 else 0)
    uv = np.stack(np.meshgrid(np.linspace(0, 1, 17), np.linspace(0, 1, len(rows))), axis=-1)
    y, z = rows[-1]
    clasp = box(0.2, 0.06, 0.16, "metal", power=6)
    return [Patch(grid, uv, "accent"), *(p.translated(y=y - 0.03, z=z + 0.02) for p in clasp)]
