"""Shapes of drinkware."""

from __future__ import annotations

import numpy as np

from models.synthetic.meshes import Patch, disc, lathe, smooth, tube
from models.synthetic.product_sampler import Design


def mug(design: Design) -> list[Patch]:
    """A cylinder, tapered or bellied, with a handle to the right."""
    height, taper, belly = (design.size(name) for name in ("height", "taper", "belly"))
    thick = design.size("thick")
    foot, rim = 0.5 - taper / 2, 0.5 + taper / 2
    wall = smooth([(foot, 0.05), ((foot + rim) / 2 + belly, 0.5 * height), (rim, height)], steps=10)
    inner = wall[::-1] - [thick, 0.0]
    inner[-1, 1] += 0.06
    body = lathe([(0, 0), (foot - 0.04, 0), *wall], body=(0.0, height))
    inside = lathe([(rim, height), *inner, (0, inner[-1, 1])], "accent")
    reach = design.size("handle")
    low, high = 0.2 * height, 0.82 * height
    edge = np.interp([low, high], wall[:, 1], wall[:, 0]) - thick / 2
    middle = (low + high) / 2
    out = edge.max() + 0.55 * reach
    match design.style:
        case "square handle":
            path = [
                (edge[1], high),
                (out, high),
                (out, (high + middle) / 2),
                (out, middle),
                (out, (low + middle) / 2),
                (out, low),
                (edge[0], low),
            ]
            curve = smooth(path, 4)
        case "ear handle":
            curve = smooth(
                [
                    (edge[1], high),
                    (out, high + 0.02),
                    (out + 0.02, middle + 0.1),
                    ((out + edge[0]) / 2 + 0.05, low + 0.12),
                    (edge[0], low),
                ],
                7,
            )
        case _:
            angle = np.linspace(np.pi / 2, -np.pi / 2, 24)
            curve = np.stack(
                [
                    edge.mean() + (out - edge.mean()) * np.cos(angle),
                    middle + (high - low) / 2 * np.sin(angle),
                ],
                axis=1,
            )
    line = np.column_stack([curve[:, 0], np.zeros(len(curve)), curve[:, 1]])
    role = "accent" if design.accent.material == "ceramic" else "main"
    return [*body, *inside, *tube(line, 0.075, role, flat=0.6)]


def bottle(design: Design) -> list[Patch]:
    """A body, a shoulder, a neck and a cap; the style sets how they meet."""
    height, neck, waist, cap = (design.size(n) for n in ("height", "neck", "waist", "cap"))
    radius, shoulder = 0.5, design.size("shoulder")
    match design.style:
        case "wine":
            neck_radius, start, end = neck * 0.36 + 0.06, shoulder * 0.9, shoulder * 0.9 + 0.16
        case "milk":
            neck_radius, start, end = 0.26 + neck * 0.3, shoulder * 0.8, shoulder * 0.8 + 0.24
        case "flask":
            neck_radius, start, end = 0.3 + 0.25 * neck, shoulder + 0.08, shoulder + 0.17
        case _:
            neck_radius, start, end = 0.2 + neck * 0.5, shoulder + 0.02, shoulder + 0.16
    start, end = start * height, min(end, 0.9) * height
    if design.style in {"sports", "milk"}:
        lower = smooth(
            [
                (radius, 0.06),
                (radius - waist / 2, 0.3 * height),
                (radius - waist, start * 0.62),
                (radius, start),
            ],
            6,
        )
    else:
        lower = np.array([(radius, 0.06), (radius, start * 0.5), (radius, start)])
    middle = (start + end) / 2
    upper = smooth(
        [
            (radius, start),
            (radius * 0.93, start + 0.35 * (middle - start)),
            (neck_radius + 0.4 * (radius - neck_radius), middle),
            (neck_radius, end),
        ],
        6,
    )
    top = height * (1 - 0.02)
    body = lathe(
        [(0, 0), (radius - 0.07, 0), *lower, *upper[1:], (neck_radius, top), (0, top)],
        body=(0.0, start),
    )
    wide = neck_radius * (1.18 if design.style != "wine" else 1.1)
    deep = cap * (1.8 if design.style == "wine" else 1.1)
    closed = [
        (wide, top - deep + 0.05),
        (wide, top + 0.03),
        (wide - 0.03, top + 0.06),
        (0, top + 0.06),
    ]
    lid = lathe(closed, "accent")
    if design.style == "sports":
        lid += lathe(
            [
                (0.12, top + 0.06),
                (0.1, top + 0.2),
                (0.13, top + 0.22),
                (0.13, top + 0.3),
                (0, top + 0.3),
            ],
            "dark",
        )
    return [*body, *lid]


def glass(design: Design) -> list[Patch]:
    """A foot, a stem and a bowl."""
    height, share, mouth = (design.size(name) for name in ("height", "bowl", "mouth"))
    wide = {"tulip": 0.46, "flute": 0.27, "coupe": 0.62, "balloon": 0.58}[design.style]
    share *= {"tulip": 1.0, "flute": 1.25, "coupe": 0.62, "balloon": 1.05}[design.style]
    start = height * (1 - min(share, 0.72))
    rim = wide * (0.75 + 0.25 * mouth if design.style != "coupe" else 1.0)
    stem, foot = design.size("stem"), design.size("foot") * (0.42 if wide < 0.4 else 0.5)
    belly = start + (height - start) * (0.38 if design.style != "coupe" else 0.6)
    outer = smooth(
        [(stem, start), (wide * 0.62, start + (belly - start) * 0.3), (wide, belly), (rim, height)],
        8,
    )
    inner = outer[::-1] - [0.025, 0.0]
    base = [(foot, 0.0), (foot, 0.03), (foot * 0.5, 0.07), (stem * 1.2, 0.16), (stem, 0.3)]
    lower = lathe([(0, 0), *base[:2], *smooth(base[1:], 4), (stem, start)], "main")
    bowl = lathe([*outer, *inner[:-2], (0, start + 0.06)], "main")
    level = start + 0.45 * (height - start)
    wine = outer[(outer[:, 1] < level)] - [0.03, 0.0]
    if design.accent.colour in {"red", "crimson", "plum", "yellow", "mustard", "coral", "orange"}:
        drink = lathe([*wine, (0, wine[-1, 1])], "accent")
        return [*drink, *lower, *bowl]
    return [*lower, *bowl]


def can(design: Design) -> list[Patch]:
    """A straight wall drawn in at both ends, a lid with its ring."""
    slim = {"soda": 0.52, "beer": 0.56, "energy": 0.42}[design.style]
    height, neck, shoulder = (design.size(name) for name in ("height", "neck", "shoulder"))
    foot = slim * 0.82
    wall = [(foot, 0.0), (slim, shoulder), (slim, height - shoulder * 1.6)]
    body = lathe([*wall, (slim * neck, height - 0.04)], body=(0.0, height))
    rim = slim * neck
    lid = lathe(
        [
            (rim, height - 0.04),
            (rim + 0.02, height),
            (rim - 0.02, height),
            (rim - 0.05, height - 0.05),
            (0, height - 0.05),
        ],
        "metal",
    )
    bottom = lathe([(0, 0.05), (foot - 0.05, 0.05), (foot, 0.0)], "metal")
    pull = disc(rim * 0.3, "metal", z=height - 0.03).translated(y=-0.1)
    hole = disc(rim * 0.22, "dark", z=height - 0.045).translated(y=-rim * 0.52)
    return [*body, *lid, *bottom, pull, hole]
