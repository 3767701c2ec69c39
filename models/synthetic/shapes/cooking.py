"""Shapes of kitchenware."""

from __future__ import annotations

import numpy as np

from models.synthetic.meshes import Patch, lathe, mirrored, smooth, tube
from models.synthetic.product_sampler import Design


def pan(design: Design) -> list[Patch]:
    """A shallow vessel with one long handle."""
    depth, flare, reach, grip = (design.size(n) for n in ("depth", "flare", "handle", "grip"))
    rise = design.size("rise")
    if design.style == "wok":
        depth *= 1.5
        wall = smooth([(0.3, 0.0), (0.62, 0.22 * depth), (0.86, 0.6 * depth), (1.0, depth)], 6)
    elif design.style == "saute":
        depth *= 1.25
        wall = np.array([(0.94, 0.0), (0.98, 0.06), (0.99, depth * 0.6), (1.0, depth)])
    else:
        wall = smooth([(flare, 0.0), (flare + 0.06, 0.08), (1.0, depth)], 6)
    thick = 0.045
    outer = lathe([(0, 0), *wall], "main")
    inner = lathe([(1.0, depth), *(wall[::-1] - [thick, 0.0]) + [0.0, 0.02], (0, 0.03)], "dark")
    start = np.array([0.96, 0.0, depth * 0.8])
    end = start + np.array([reach, 0.0, rise * 0.9])
    first = np.array([0.3 * reach, 0.0, 0.45 * rise])
    last = np.array([0.3 * reach, 0.0, 0.1 * rise])
    path = smooth([start, start + first, end - last, end], 5)
    neck = tube(path[:6], grip * 0.6, "metal", flat=0.6)
    grip_radii = grip * np.interp(
        np.linspace(0, 1, len(path) - 4), [0, 0.3, 0.85, 1], [0.8, 0.9, 1.15, 0.8]
    )
    return [*outer, *inner, *neck, *tube(path[4:], grip_radii, "accent", flat=0.7)]


def pot(design: Design) -> list[Patch]:
    """A straight vessel with a lid, a knob and handles."""
    height, taper, dome, knob = (design.size(n) for n in ("height", "taper", "lid", "knob"))
    grip = design.size("grip")
    foot, rim = 0.72 / max(taper, 1.0), 0.72 * min(taper, 1.0)
    body = lathe(
        [
            (0, 0),
            (foot - 0.06, 0),
            (foot, 0.06),
            (rim, height - 0.04),
            (rim + 0.03, height),
            (rim - 0.02, height),
        ],
        body=(0.0, height),
    )
    lid = lathe(
        smooth(
            [
                (rim + 0.01, height + 0.01),
                (rim * 0.9, height + 0.35 * dome + 0.02),
                (rim * 0.5, height + 0.85 * dome),
                (0, height + dome),
            ],
            5,
        ),
        "main",
        body=(-50.0, height * 1.5),
    )
    top = height + dome
    button = lathe(
        [
            (knob * 0.5, top - 0.03),
            (knob * 0.5, top + 0.06),
            (knob, top + 0.1),
            (knob, top + 0.15),
            (knob * 0.7, top + 0.19),
            (0, top + 0.2),
        ],
        "accent",
    )
    level = 0.78 * height
    at = np.interp(level, [0.06, height], [foot, rim]) - 0.02
    if design.style == "long handle":
        reach = 1.2
        path = smooth(
            [(at, 0, level), (at + 0.4, 0, level + 0.1), (at + reach, 0, level + 0.16)], 6
        )
        handles = tube(path, grip * 1.2, "accent", flat=0.7)
    elif design.style == "side grips":
        bend = [
            (at, -0.25, level),
            (at + 0.2, -0.25, level),
            (at + 0.24, 0, level),
            (at + 0.2, 0.25, level),
            (at, 0.25, level),
        ]
        handles = mirrored(tube(smooth(bend, 5), grip, "accent"))
    else:
        bend = [
            (at, 0, level - 0.22),
            (at + 0.26, 0, level - 0.17),
            (at + 0.32, 0, level),
            (at + 0.26, 0, level + 0.15),
            (at, 0, level + 0.18),
        ]
        handles = mirrored(tube(smooth(bend, 5), grip, "accent"))
    return [*body, *lid, *button, *handles]


def kettle(design: Design) -> list[Patch]:
    """A belly, a spout to the left, a handle over the top or to the right, and a lid."""
    height, belly, top, spout = (design.size(n) for n in ("height", "belly", "top", "spout"))
    arch, knob = design.size("arch"), design.size("knob")
    wide, mouth = 0.72 * belly, 0.72 * top
    if design.style == "teapot":
        points = [
            (wide * 0.6, 0.03),
            (wide, height * 0.45),
            (mouth * 1.1, height * 0.93),
            (mouth, height),
        ]
    elif design.style == "gooseneck":
        points = [
            (wide * 0.98, 0.03),
            (wide * 0.9, height * 0.3),
            (mouth * 1.15, height * 0.85),
            (mouth, height),
        ]
    else:
        points = [
            (wide * 0.96, 0.03),
            (wide, height * 0.25),
            (wide * 0.86, height * 0.62),
            (mouth, height),
        ]
    wall = smooth(points, 8)
    body = lathe([(0, 0), (wall[0, 0] - 0.04, 0), *wall], body=(0.0, height))
    lid = lathe(
        smooth([(mouth + 0.01, height), (mouth * 0.7, height + 0.09), (0, height + 0.13)], 5),
        "main",
        body=(-50.0, height * 1.5),
    )
    ball = np.linspace(-np.pi / 2, np.pi / 2, 9)
    lift = height + 0.12 + knob * 0.9
    button = lathe(np.column_stack([knob * np.cos(ball), lift + knob * np.sin(ball)]), "accent")
    low, high = 0.3 * height, height * 0.98
    at = float(np.interp(low, wall[:, 1], wall[:, 0]))
    tip = at + spout
    if design.style == "gooseneck":
        neck = [
            (at - 0.1, low * 0.7),
            (at + 0.3 * spout, low * 0.9),
            (at + 0.5 * spout, high * 0.75),
            (tip, high + 0.1),
        ]
        radii = [0.1, 0.075, 0.055, 0.05]
    elif design.style == "teapot":
        neck = [
            (at - 0.15, low * 1.1),
            (at + 0.3 * spout, low * 1.3),
            (at + 0.62 * spout, high * 0.8),
            (tip, high),
        ]
        radii = [0.2, 0.15, 0.09, 0.07]
    else:
        neck = [
            (at - 0.2, height * 0.42),
            (at + 0.35 * spout, height * 0.66),
            (tip - 0.1, height * 0.92),
        ]
        radii = [0.22, 0.14, 0.09]
    curve = smooth(neck, 6)
    line = np.column_stack([-curve[:, 0], np.zeros(len(curve)), curve[:, 1]])
    beak = tube(
        line, np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(radii)), radii), "main"
    )
    if design.style == "stovetop":
        angle = np.linspace(np.pi * 0.98, np.pi * 0.02, 24)
        reach = wide * 0.82
        foot = float(np.interp(reach, wall[::-1, 0], wall[::-1, 1]))
        path3 = np.column_stack(
            [reach * np.cos(angle), np.zeros(24), foot + (height - foot + arch) * np.sin(angle)]
        )
    else:
        end = np.interp([0.22 * height, 0.85 * height], wall[:, 1], wall[:, 0]) - 0.04
        out = end.max() + 0.62 * arch
        path3 = smooth(
            [
                (end[1], 0, 0.85 * height),
                (out - 0.05, 0, 0.9 * height),
                (out, 0, 0.6 * height),
                (end[0], 0, 0.22 * height),
            ],
            7,
        )
    return [*body, *lid, *button, *beak, *tube(path3, 0.07, "accent", flat=0.7)]


def bowl(design: Design) -> list[Patch]:
    """An open hemisphere on a foot."""
    height, foot, curve, thick = (design.size(n) for n in ("height", "foot", "curve", "thick"))
    lip = design.size("lip")
    height *= 1.2 if design.style == "deep" else 1.0
    raised = 0.14 if design.style == "footed" else 0.04
    angle = np.linspace(0.12, np.pi / 2, 14)
    radius = foot * 0.7 + (1 - foot * 0.7) * np.sin(angle) ** curve
    level = raised + (height - raised) * (1 - np.cos(angle))
    wall = np.column_stack([radius, level])
    rim = [(1.0 + lip + 0.1, height + 0.03)] if design.style == "rimmed" else []
    outer = lathe(
        [(0, 0), (foot * 0.62, 0), (foot * 0.66, raised), *wall, *rim], body=(0.0, height)
    )
    inside = wall[::-1] - np.array([thick, -0.02])
    inner = lathe([*(rim or [(1.0, height)]), *inside, (0, inside[-1, 1] + 0.01)], "accent")
    return [*outer, *inner]
