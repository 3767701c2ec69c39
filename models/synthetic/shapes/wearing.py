"""Shapes of wearables: shoes, hats, watches."""

from __future__ import annotations

import numpy as np

from models.synthetic.meshes import (
    Array,
    Patch,
    box,
    disc,
    lathe,
    loft,
    plate,
    rotation,
    rounded,
    smooth,
    tube,
)
from models.synthetic.product_sampler import Design


def shoe(design: Design) -> list[Patch]:
    """An upper lofted from toe to heel on a sole, an opening with a lining, laces or a shaft."""
    length, width, ankle = (design.size(name) for name in ("length", "width", "ankle"))
    sole, toe, heel = (design.size(name) for name in ("sole", "toe", "heel"))
    high = {"sneaker": 1.0, "high-top": 1.5, "boot": 1.85, "loafer": 0.78}[design.style]
    t = np.linspace(0, 1, 34)  # toe 0, heel 1; the toe looks to −x
    x = (t - 0.5) * length
    half = (
        width
        / 2
        * np.interp(
            t,
            [0, 0.03, 0.1, 0.3, 0.55, 0.8, 0.95, 1.0],
            [0.05, 0.42, 0.76, 1.0, 0.84, 0.78, 0.62, 0.2],
        )
    )
    vamp = toe * np.interp(t, [0, 0.03, 0.12, 0.3], [0.35, 0.72, 0.92, 1.05])
    rise = ankle * (0.75 if design.style == "loafer" else 0.85)
    top = np.where(
        t < 0.3,
        vamp,
        np.interp(t, [0.3, 0.6, 0.72, 0.97, 1.0], [toe * 1.05, rise, rise * 0.9, rise, rise * 0.8]),
    )
    lift = heel * np.interp(t, [0, 0.3, 0.7, 1.0], [0.25, 0.0, 0.7, 1.0])
    base = sole + lift
    upper = np.stack(
        [
            _hoop(xi, hi, max(zi, 0.06), bi)
            for xi, hi, zi, bi in zip(x, half, top, base, strict=True)
        ]
    )
    skin, *_ = loft(upper, "main")
    uv = skin.uv.copy()
    uv[..., 0], uv[..., 1] = (
        skin.points[..., 0] / length + 0.5,
        np.clip(skin.points[..., 2] / 1.4, 0, 1),
    )
    parts = [Patch(skin.points, uv, "main", wraps=False, aspect=length / 1.4)]
    rim = smooth(
        [(np.interp(s, t, x), np.interp(s, t, base + top) + 0.01) for s in (0.6, 0.7, 0.85, 0.96)],
        6,
    )
    centre = (rim[0, 0] + rim[-1, 0]) / 2
    reach, side = (rim[-1, 0] - rim[0, 0]) / 2, width * 0.27
    angle = np.linspace(0, 2 * np.pi, 33)
    ring_x = centre + reach * np.cos(angle)
    level = np.interp(ring_x, rim[:, 0], rim[:, 1])
    ring = np.column_stack([ring_x, side * np.sin(angle), level + 0.015])
    if high > 1.3:
        shaft = (high - 1.0) * 1.15
        wider = ring * [1, 1.28, 1] + [0, 0, 0]
        wider[:, 0] = centre + (wider[:, 0] - centre) * 1.12
        low, upper_ring = wider.copy(), wider.copy()
        low[:, 2] -= 0.2
        upper_ring[:, 2] = rim[:, 1].max() + shaft
        upper_ring[:, 0] = centre + 0.06 + (upper_ring[:, 0] - centre) * 1.0
        wall = np.stack([low, (low + upper_ring) / 2, upper_ring])
        tower, *_ = loft(wall, "main", caps=False)
        uv = tower.uv.copy()
        uv[..., 0], uv[..., 1] = (
            tower.points[..., 0] / length + 0.5,
            np.clip(tower.points[..., 2] / 1.4, 0, 1),
        )
        parts.append(Patch(tower.points, uv, "main", wraps=True, aspect=length / 1.4))
        ring = upper_ring
    hole = np.stack(
        [
            ring,
            (ring - ring.mean(axis=0)) * 0.86 + ring.mean(axis=0) - [0, 0, 0.05],
            np.broadcast_to(ring.mean(axis=0) - [0, 0, 0.06], ring.shape),
        ]
    )
    parts += loft(hole, "dark", caps=False)
    parts += tube(ring, 0.035, "accent", columns=8)
    parts += _sole(design, x, half, lift, sole)
    if design.style in {"sneaker", "high-top", "boot"}:
        for share in np.linspace(0.32, 0.56, 5):
            at, up = np.interp(share, t, x), np.interp(share, t, base + top) + 0.015
            span = np.interp(share, t, half) * 0.42
            parts += tube(
                smooth(
                    [
                        (at - 0.04, -span, up - 0.07),
                        (at, 0, up + 0.02),
                        (at + 0.04, span, up - 0.07),
                    ],
                    4,
                ),
                0.028,
                "lace",
                columns=8,
            )
    else:
        at, up = np.interp(0.42, t, x), np.interp(0.42, t, base + top)
        parts += tube(
            smooth(
                [
                    (at, -width * 0.4, up - 0.28),
                    (at, -width * 0.2, up - 0.03),
                    (at, 0, up + 0.02),
                    (at, width * 0.2, up - 0.03),
                    (at, width * 0.4, up - 0.28),
                ],
                5,
            ),
            0.05,
            "accent",
            flat=2.2,
        )
    return parts


def hat(design: Design) -> list[Patch]:
    """A crown with a band and a brim; a cap has a visor instead."""
    crown, brim, curl, top = (design.size(name) for name in ("crown", "brim", "curl", "top"))
    band, long = design.size("band"), design.size("long")
    if design.style == "cap":
        angle = np.linspace(0, np.pi / 2, 14)
        dome = np.column_stack([0.62 * np.cos(angle) ** 0.8, crown * 0.85 * np.sin(angle)])
        parts = lathe(dome, "main", deep=long)
        parts += lathe(
            [(0.0, crown * 0.85 + 0.03), (0.06, crown * 0.85 + 0.03), (0.07, crown * 0.85 - 0.03)][
                ::-1
            ],
            "accent",
        )
        wide = np.linspace(-1.15, 1.15, 21)
        inner = np.column_stack([0.6 * np.sin(wide), -0.6 * long * np.cos(wide), np.full(21, 0.03)])
        reach = (0.35 + brim * 0.6) * np.cos(wide / 1.15 * np.pi / 2) ** 0.7
        outer = inner + np.column_stack(
            [0.1 * np.sin(wide), -reach, -0.12 - 0.1 * np.abs(np.sin(wide)) ** 2 - curl * 0.1]
        )
        grid = np.stack([inner, (inner + outer) / 2 + [0, 0, 0.03], outer])
        uv = np.stack(np.meshgrid(np.linspace(0, 1, 21), np.linspace(0, 1, 3)), axis=-1)
        parts.append(Patch(grid, uv, "accent"))
        return [p.translated(z=0.3) for p in parts]
    wide_brim = (
        brim * {"fedora": 0.75, "bowler": 0.5, "sun hat": 1.35, "top hat": 0.55}[design.style]
    )
    tall = crown * {"fedora": 1.0, "bowler": 0.95, "sun hat": 0.8, "top hat": 1.5}[design.style]
    if design.style == "top hat":
        cap = [(0.55, 0.0), (0.52, tall * 0.5), (0.58, tall), (0.0, tall)]
    elif design.style == "fedora":
        cap = [
            *smooth([(0.56, 0.0), (0.54, tall * 0.5), (0.56 * top, tall * 0.97)], 6),
            (0.56 * top * 0.8, tall),
            (0.3 * top, tall * 0.9),
            (0.0, tall * 0.82),
        ]
    else:
        angle = np.linspace(0, np.pi / 2, 14)
        cap = list(np.column_stack([0.57 * np.cos(angle) ** (0.6 * top), tall * np.sin(angle)]))
    out = np.linspace(0, 1, 8)
    edge = np.column_stack([0.56 + wide_brim * out, curl * 0.6 * out**2.2 + 0.01])
    if design.style == "sun hat":
        edge[:, 1] -= 0.25 * wide_brim * out
    parts = lathe(cap, "main", deep=long)
    parts += lathe(edge, "main", deep=long, body=(-2.0, 4.0))
    parts += lathe(edge[::-1] - [0, 0.025], "main", deep=long, body=(-2.0, 4.0))
    radius = np.interp([0.02, band], [p[1] for p in cap[:8]], [p[0] for p in cap[:8]]) + 0.015
    parts += lathe([(radius[0], 0.02), (radius[1], band)], "accent", deep=long)
    lowest = min(float(p.points[..., 2].min()) for p in parts)
    return [p.translated(z=-lowest) for p in parts]


def watch(design: Design) -> list[Patch]:
    """A case with a dial facing the viewer, on a strap closed to a loop behind it."""
    case, strap, thick = (design.size(name) for name in ("case", "strap", "thick"))
    bezel, loop = design.size("bezel"), design.size("loop")
    face_up = rotation("x", 90)
    parts: list[Patch] = []
    if design.style == "square":
        body = box(case * 1.7, case * 1.9, thick, "accent", bevel=0.4, power=7)
        dial = plate(
            np.array([(-0.72, -0.8, 0), (0.72, -0.8, 0), (0.72, 0.8, 0), (-0.72, 0.8, 0)]) * case
            + [0, 0, thick + 0.006],
            "face",
            aspect=0.9,
        )
        parts += [*body, dial]
    else:
        edge = bezel * (1.9 if design.style == "diver" else 0.8 if design.style == "dress" else 1.0)
        parts += lathe(
            [
                (0, 0),
                (case, 0),
                (case, thick * 0.6),
                (case - edge * 0.5, thick + 0.03),
                (case - edge, thick + 0.02),
                (case - edge, thick - 0.02),
            ],
            "accent",
        )
        if design.style == "diver":
            parts += lathe(
                [
                    (case - 0.01, thick * 0.7),
                    (case - edge * 0.5, thick + 0.045),
                    (case - edge, thick + 0.04),
                ],
                "dark",
            )
        parts.append(disc(case - edge + 0.01, "face", z=thick))
    parts += tube([(case * 0.96, 0, thick / 2), (case + 0.12, 0, thick / 2)], 0.065, "accent")
    head = [p.transformed(face_up).translated(y=-thick) for p in parts]
    # The strap leaves the case above and below and closes behind it.
    angle = np.linspace(0.4, 2 * np.pi - 0.4, 40)
    tall, back = case * 1.02 * loop * 0.72, 0.8 * loop
    y = back * (1 - np.cos(angle)) / 2 - 0.04
    z = tall * np.sin(angle) * (1 - 0.1 * (1 - np.cos(angle)) / 2)
    wide = np.interp(np.abs(angle - np.pi), [0, np.pi], [strap * 0.85, strap])
    outline = rounded(1.0, 1.0, 6.0, 16)
    normal = np.column_stack([-np.gradient(z), np.gradient(y)])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    sections = np.empty((40, 17, 3))
    for row in range(40):
        sections[row, :, 0] = outline[:, 0] * wide[row] * 2
        sections[row, :, 1] = y[row] + outline[:, 1] * 0.07 * normal[row, 0]
        sections[row, :, 2] = z[row] + outline[:, 1] * 0.07 * normal[row, 1]
    whole = [*head, *loft(sections, "main", aspect=0.2)]
    lowest = min(float(p.points[..., 2].min()) for p in whole)
    return [p.translated(z=-lowest) for p in whole]


def _hoop(x: float, half: float, height: float, base: float) -> Array:
    """The section of a shoe's upper at x: a round top on straight sides, from side to side."""
    angle = np.linspace(0, np.pi, 17)
    y = half * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.55
    z = base + height * np.sin(angle) ** 0.8
    # High sections draw in towards the ankle.
    y *= 1 - 0.38 * np.clip(z - base - 0.3, 0, 0.8) / 0.8
    return np.column_stack([np.full(17, x), y, z])


def _sole(design: Design, x: Array, half: Array, lift: Array, sole: float) -> list[Patch]:
    out = half * 1.07 + 0.015
    ring_x = np.concatenate([x, x[::-1], x[:1]])
    ring_y = np.concatenate([out, -out[::-1], out[:1]])
    ring_lift = np.concatenate([lift, lift[::-1], lift[:1]])
    high = np.column_stack([ring_x * 1.015, ring_y, ring_lift + sole])
    low = high.copy()
    flat = design.style in {"sneaker", "high-top"}
    low[:, 2] = np.where((ring_x > x[20]) | (ring_x < x[16]) | flat, 0.0, ring_lift * 0.8)
    low[:, 2] += 0.35 * ring_lift * (ring_x < x[8])
    return loft(np.stack([low, high]), "sole")
