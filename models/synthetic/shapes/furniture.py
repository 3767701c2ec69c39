"""Shapes of furniture."""

from __future__ import annotations

import numpy as np

from models.synthetic.meshes import Patch, box, lathe, mirrored, rotation, smooth, tube
from models.synthetic.product_sampler import Design


def chair(design: Design) -> list[Patch]:
    """Four legs, a seat, a back that leans, and arms where the style has them."""
    width, depth, seat = (design.size(name) for name in ("width", "depth", "seat"))
    level = 0.5 * design.size("height")
    legs = _legs(design, level, width * 0.42, depth * 0.42)
    slab = [p.translated(z=level) for p in box(width, depth, seat, "main", bevel=0.7, power=7)]
    rise = design.size("height") - level
    lean = rotation("x", -design.size("lean"))
    thin = 0.07
    parts: list[Patch] = []
    match design.style:
        case "slat back":
            parts += mirrored(
                tube([(width * 0.44, 0, 0), (width * 0.44, 0, rise)], 0.045, "accent")
            )
            for share in (0.3, 0.58, 0.86):
                parts += [
                    p.translated(z=rise * share - 0.07)
                    for p in box(width * 0.9, thin * 0.7, 0.15, "main", bevel=0.3)
                ]
        case "spindle back":
            for x in np.linspace(-0.42, 0.42, 6) * width:
                parts += tube([(x, 0, 0), (x * 1.08, 0, rise * 0.9)], 0.025, "accent")
            parts += [
                p.translated(z=rise * 0.85)
                for p in box(width * 1.04, thin, 0.16, "main", bevel=0.5)
            ]
        case _:
            parts += [
                p.translated(z=rise * 0.12)
                for p in box(
                    width * 0.96, thin + seat * 0.4, rise * 0.86, "main", bevel=0.8, power=6
                )
            ]
            parts += mirrored(
                tube([(width * 0.36, 0, 0), (width * 0.36, 0, rise * 0.4)], 0.04, "accent")
            )
    back = [p.transformed(lean).translated(y=depth * 0.44, z=level + seat * 0.6) for p in parts]
    arms: list[Patch] = []
    if design.style == "armchair":
        path = [
            (width * 0.53, depth * 0.46, level + 0.48),
            (width * 0.55, 0, level + 0.46),
            (width * 0.54, -depth * 0.4, level + 0.42),
            (width * 0.5, -depth * 0.4, level),
        ]
        arms = mirrored(tube(smooth(path, 6), 0.05, "accent"))
    return [*legs, *slab, *back, *arms]


def stool(design: Design) -> list[Patch]:
    """A seat without a back on three or four legs, held by a ring."""
    width, seat = design.size("width"), design.size("seat")
    level = design.size("height") - seat
    leg, splay = design.size("leg"), design.size("splay")
    count = 3 if "three" in design.style else 4
    parts: list[Patch] = []
    spread = width * 0.36
    ring_at = level * design.size("ring")
    for number in range(count):
        angle = 2 * np.pi * (number + 0.5) / count + (0 if count == 4 else np.pi / 6)
        way = np.array([np.sin(angle), -np.cos(angle)])
        top, foot = spread * way, (spread + splay) * way
        parts += tube(
            [(*foot, 0.0), (*((top + foot) / 2), level / 2), (*top, level)], leg, "accent"
        )
    around = np.linspace(0, 2 * np.pi, 33)
    out = spread + splay * (1 - ring_at / level)
    ring = np.column_stack([out * np.sin(around), -out * np.cos(around), np.full(33, ring_at)])
    parts += tube(ring, leg * 0.5, "accent", columns=8)
    if design.style.startswith("square"):
        cushion = box(width, width, seat, "main", bevel=0.6, power=8)
    else:
        edge = min(seat * 0.45, 0.1)
        cushion = lathe(
            [
                (0, 0),
                (width / 2 - edge, 0),
                (width / 2, edge),
                (width / 2, seat - edge),
                (width / 2 - edge, seat),
                (0, seat),
            ]
        )
    return [*parts, *(p.translated(z=level) for p in cushion)]


def table(design: Design) -> list[Patch]:
    """A top on legs, on a pedestal or on trestles."""
    width, height, top = (design.size(name) for name in ("width", "height", "top"))
    leg = design.size("leg")
    depth = width * design.size("depth") * 0.75
    level = height - top
    round_ = design.style.startswith("round")
    if round_:
        depth = width * 0.9
        slab = lathe(
            [
                (0, 0),
                (width * 0.45 - 0.02, 0),
                (width * 0.45, 0.02),
                (width * 0.45, top - 0.02),
                (width * 0.45 - 0.02, top),
                (0, top),
            ]
        )
    else:
        slab = box(width, depth, top, "main", power=24, bevel=0.3)
    if design.style == "round pedestal":
        under = lathe(
            [
                (0, 0),
                (width * 0.26, 0),
                (width * 0.26, 0.05),
                *smooth(
                    [
                        (width * 0.24, 0.06),
                        (leg * 2, 0.18),
                        (leg * 1.4, level * 0.5),
                        (leg * 1.8, level),
                    ],
                    5,
                ),
            ],
            "accent",
        )
    elif design.style == "trestle":
        side = tube([(width * 0.36, -depth * 0.42, 0), (width * 0.36, 0, level)], leg, "accent")
        side += tube([(width * 0.36, depth * 0.42, 0), (width * 0.36, 0, level)], leg, "accent")
        bar = tube(
            [(-width * 0.36, 0, level * 0.5), (width * 0.36, 0, level * 0.5)], leg * 0.7, "accent"
        )
        under = [*mirrored(side), *bar]
    else:
        reach = 0.29 if round_ else 0.44
        under = _legs(design, level, width * reach, depth * (0.32 if round_ else 0.42))
    return [*under, *(p.translated(z=level) for p in slab)]


def lamp(design: Design) -> list[Patch]:
    """A foot or body, a stem, and a shade open below and above."""
    height, foot, belly = (design.size(name) for name in ("height", "foot", "belly"))
    shade, taper, drop = design.size("shade"), design.size("taper"), design.size("drop")
    start = height - drop
    parts: list[Patch] = []
    match design.style:
        case "gourd":
            body = smooth(
                [
                    (foot * 0.7, 0.02),
                    (belly + 0.12, start * 0.28),
                    (0.1, start * 0.62),
                    (belly * 0.6 + 0.06, start * 0.78),
                    (0.04, start),
                ],
                7,
            )
            parts += lathe([(0, 0), (foot * 0.7, 0), *body], "accent")
        case "ball":
            angle = np.linspace(-np.pi / 2 + 0.5, np.pi / 2, 16)
            radius = min(belly + 0.14, start * 0.42)
            ball = np.column_stack([radius * np.cos(angle), radius * (np.sin(angle) + 0.88) + 0.05])
            parts += lathe([(0, 0), (foot * 0.6, 0), (foot * 0.6, 0.05), *ball], "accent")
            parts += tube([(0, 0, ball[-1, 1] - 0.05), (0, 0, start + 0.1)], 0.035, "accent")
        case "tripod":
            for number in range(3):
                angle3 = 2 * np.pi * number / 3 + 0.5
                end = (foot * 1.2 * np.sin(angle3), -foot * 1.2 * np.cos(angle3), 0.0)
                parts += tube([end, (0.02 * end[0], 0.02 * end[1], start)], 0.035, "accent")
            parts += tube([(0, 0, start - 0.1), (0, 0, start + 0.1)], 0.05, "accent")
        case _:
            parts += lathe(
                [(0, 0), (foot, 0), (foot, 0.05), (foot * 0.8, 0.08), (0.04, 0.12)], "accent"
            )
            parts += tube([(0, 0, 0.05), (0, 0, start + 0.1)], 0.04, "accent")
    low, high = shade, shade * taper
    skin = lathe([(low, start), (high, height)], "main")
    inside = lathe([(low - 0.02, start), (high - 0.02, height)], "glow")
    bulb_angle = np.linspace(-np.pi / 2, np.pi / 2, 8)
    bulb = np.column_stack([0.12 * np.cos(bulb_angle), start + 0.2 + 0.12 * np.sin(bulb_angle)])
    return [*parts, *skin, *inside, *lathe(bulb, "glow")]


def _legs(design: Design, level: float, x: float, y: float) -> list[Patch]:
    leg, splay = design.size("leg"), design.size("splay")
    parts = []
    for side in (-1, 1):
        top = np.array([x, side * y, level])
        foot = np.array([x + splay, side * (y + splay), 0.0])
        parts += tube(
            [foot, (top + foot) / 2, top], np.array([leg * 0.75, leg * 0.9, leg]), "accent"
        )
    return mirrored(parts)
