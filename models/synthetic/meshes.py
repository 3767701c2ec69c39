"""Geometry as grids of points: lathe, tube, loft, box, plate and disc.

A patch is a grid (rows, columns, 3) with a texture coordinate at every point. Bodies of revolution,
tubes along a curve, lofts through sections and rounded boxes are all grids, so that one way of
computing normals, texture and projection is enough. Axes: x to the right, y away from the viewer, z
up; the front of a product faces −y. Lengths are arbitrary, scenes scale their products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Line = Array | Sequence[Array | Sequence[float]]
"""A polyline, (n, 2) or (n, 3)."""

COLUMNS = 40
"""Columns of a body of revolution: enough to look round at 256 px."""
EDGE_COSINE = np.cos(np.radians(38))
"""Of the angle between two segments beyond which a profile has an edge, without shared normals."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A grid of points (rows, columns, 3) with texture coordinates (rows, columns, 2) in 0..1.

    Attributes:
        role: the surface of the product that covers it: "main", "accent", "dark", "metal", "face".
        wraps: the last column coincides with the first one.
        aspect: width of the whole texture over its height, on the surface.
    """

    points: Array
    uv: Array
    role: str = "main"
    wraps: bool = False
    aspect: float = 1.0

    def translated(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Patch:
        """The patch translated."""
        return replace(self, points=self.points + np.array([x, y, z]))

    def transformed(self, matrix: Array) -> Patch:
        """The patch under a linear map (3, 3)."""
        return replace(self, points=self.points @ matrix.T)

    def normals(self) -> Array:
        """Unit normals (rows, columns, 3), averaged over adjacent quads."""
        grid = self.points
        down, right = np.diff(grid, axis=0), np.diff(grid, axis=1)
        quads = _cross(down[:, :-1] + down[:, 1:], right[:-1] + right[1:])
        total = np.zeros_like(grid)
        for rows in (slice(None, -1), slice(1, None)):
            for columns in (slice(None, -1), slice(1, None)):
                total[rows, columns] += quads
        if self.wraps:
            total[:, 0] += total[:, -1]
            total[:, -1] = total[:, 0]
        poles = np.ptp(grid, axis=1).max(axis=1) < 1e-9
        total[poles] = total[poles].sum(axis=1, keepdims=True)
        unit: Array = total / np.maximum(np.linalg.norm(total, axis=2, keepdims=True), 1e-12)
        return unit


def smooth(points: Line, steps: int = 6) -> Array:
    """A Catmull-Rom curve through points (n, k): ((n − 1) · steps + 1, k)."""
    knots = np.asarray(points, float)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = (np.arange(steps) / steps)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(
            0.5
            * (
                2 * b
                + (c - a) * t
                + (2 * a - 5 * b + 4 * c - d) * t**2
                + (3 * b - a - 3 * c + d) * t**3
            )
        )
    return np.concatenate([*pieces, knots[-1:]])


def lathe(
    profile: Line,
    role: str = "main",
    *,
    wide: float = 1.0,
    deep: float = 1.0,
    body: tuple[float, float] | None = None,
) -> list[Patch]:
    """Revolve a profile of (radius, height) around the z axis; edges split it into patches.

    The texture wraps around once, its middle column in front, and covers the heights of the
    profile, or those of `body`.
    """
    line = np.maximum(np.asarray(profile, float), [0.0, -np.inf])
    keep = np.r_[True, np.linalg.norm(np.diff(line, axis=0), axis=1) > 1e-9]
    line = line[keep]
    low, high = body or (line[:, 1].min(), line[:, 1].max())
    high = max(high, low + 1e-6)
    angle = np.linspace(0, 2 * np.pi, COLUMNS + 1)
    round_ = np.stack([np.sin(angle) * wide, np.cos(angle) * deep], axis=1)
    aspect = float(2 * np.pi * np.median(line[:, 0]) * (wide + deep) / 2 / (high - low))
    patches = []
    for piece in _split_at_edges(line):
        points = np.empty((len(piece), COLUMNS + 1, 3))
        points[..., :2] = piece[:, None, :1] * round_
        points[..., 2] = piece[:, 1:]
        uv = np.empty((len(piece), COLUMNS + 1, 2))
        uv[..., 0] = 1 - angle / (2 * np.pi)
        uv[..., 1] = np.clip((piece[:, 1:] - low) / (high - low), 0.004, 0.996)
        patches.append(Patch(points, uv, role, wraps=True, aspect=aspect))
    return patches


def tube(
    path: Line,
    radius: float | Array,
    role: str = "main",
    *,
    flat: float = 1.0,
    columns: int = 12,
) -> list[Patch]:
    """A closed round tube along a path (n, 3); `flat` scales it in the plane of the path."""
    line = np.asarray(path, float)
    radii = np.broadcast_to(np.asarray(radius, float), (len(line),))
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    # The side direction is the normal of the plane the path bends in, or any for a straight one.
    bend = np.cross(along[:-1], along[1:]).sum(axis=0)
    if np.linalg.norm(bend) < 1e-6:
        bend = np.cross(along[0], [0.0, 1.0, 0.0] if abs(along[0, 1]) < 0.9 else [1.0, 0.0, 0.0])
    bend = bend / np.linalg.norm(bend)
    side = np.cross(along, bend)
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12)
    angle = np.linspace(0, 2 * np.pi, columns + 1)
    ring = np.cos(angle)[None, :, None] * bend + flat * np.sin(angle)[None, :, None] * side[:, None]
    points = line[:, None] + radii[:, None, None] * ring
    length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
    uv = np.empty((*points.shape[:2], 2))
    uv[..., 0] = np.linspace(0, 1, columns + 1)
    uv[..., 1] = np.linspace(0, 1, len(line))[:, None]
    aspect = 2 * np.pi * float(radii.mean()) / max(length, 1e-6)
    wall = Patch(points, uv, role, wraps=True, aspect=aspect)
    return [wall, *(_lid(wall, row, line[row]) for row in (0, -1))]


def loft(
    sections: Array,
    role: str = "main",
    *,
    caps: bool = True,
    aspect: float = 1.0,
) -> list[Patch]:
    """A surface through closed sections (n, columns, 3): first and last points are equal."""
    rows, columns = sections.shape[:2]
    uv = np.empty((rows, columns, 2))
    uv[..., 0] = np.linspace(0, 1, columns)
    uv[..., 1] = np.linspace(0, 1, rows)[:, None]
    wall = Patch(sections, uv, role, wraps=True, aspect=aspect)
    if not caps:
        return [wall]
    return [wall, *(_lid(wall, row, sections[row, :-1].mean(axis=0)) for row in (0, -1))]


def rounded(width: float, depth: float, power: float = 5.0, columns: int = 40) -> Array:
    """A superellipse (columns + 1, 2): power 2 is an ellipse, 8 nearly a rectangle.

    It starts at the back, so that its middle is the front.
    """
    angle = np.linspace(0, 2 * np.pi, columns + 1)
    s, c = np.sin(angle), np.cos(angle)
    x = np.sign(s) * np.abs(s) ** (2 / power) * width / 2
    y = np.sign(c) * np.abs(c) ** (2 / power) * depth / 2
    return np.stack([x, y], axis=1)


def box(
    width: float,
    depth: float,
    height: float,
    role: str = "main",
    *,
    power: float = 8.0,
    bevel: float = 0.15,
    top: float = 1.0,
) -> list[Patch]:
    """A box on z = 0 with rounded edges and the texture in front; `top` scales its upper end."""
    edge = bevel * min(width, depth, height) / 2
    outline = rounded(width, depth, power)
    inset = np.array([1 - 2 * edge / width, 1 - 2 * edge / depth])
    levels = [(0.0, inset), (edge, np.ones(2)), (height - edge, np.ones(2)), (height, inset)]
    sections = np.stack(
        [
            np.column_stack(
                [outline * scale * (1 + (top - 1) * z / height), np.full(len(outline), z)]
            )
            for z, scale in levels
        ]
    )
    wall, *lids = loft(sections, role, aspect=2 * (width + depth) / height)
    uv = wall.uv.copy()
    uv[..., 0] = 0.5 + sections[..., 0] / width * width / (2 * (width + depth))
    uv[..., 1] = sections[..., 2] / height
    return [replace(wall, uv=uv), *lids]


def plate(corners: Array, role: str = "main", *, aspect: float = 1.0) -> Patch:
    """A flat four-sided patch; corners (4, 3) run lower left, lower right, upper right, left."""
    a, b, c, d = np.asarray(corners, float)
    points = np.stack([np.stack([a, b]), np.stack([d, c])])
    uv = np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 1.0]]])
    return Patch(points, uv, role, aspect=aspect)


def disc(radius: float, role: str = "main", *, z: float = 0.0) -> Patch:
    """A disc at height z, with a planar texture."""
    angle = np.linspace(0, 2 * np.pi, COLUMNS + 1)
    ring = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    points = np.zeros((2, COLUMNS + 1, 3))
    points[1, :, :2] = radius * ring
    points[..., 2] = z
    uv = 0.5 + 0.5 * points[..., :2] / radius
    return Patch(points, uv, role, wraps=True)


def mirrored(patches: Sequence[Patch], axis: int = 0) -> list[Patch]:
    """The patches and their mirror image."""
    flip = np.ones(3)
    flip[axis] = -1
    return [*patches, *(replace(patch, points=patch.points * flip) for patch in patches)]


def rotation(axis: str, degrees: float) -> Array:
    """A rotation (3, 3) about "x", "y" or "z", counter-clockwise seen from its tip."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = c
    matrix[first, second], matrix[second, first] = -s, s
    return matrix


def _cross(one: Array, other: Array) -> Array:
    """Cross products along the last axis; numpy's own takes five times as long on small grids."""
    a, b = np.moveaxis(one, -1, 0), np.moveaxis(other, -1, 0)
    return np.stack(
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], axis=-1
    )


def _lid(wall: Patch, row: int, centre: Array) -> Patch:
    ring = wall.points[row]
    points = np.stack([np.broadcast_to(centre, ring.shape), ring])
    span = np.maximum(np.ptp(ring, axis=0), 1e-9)
    flat = np.argsort(-span)[:2]
    uv = 0.5 + 0.9 * (points[..., np.sort(flat)] - centre[np.sort(flat)]) / span[np.sort(flat)]
    return Patch(points, np.clip(uv, 0.004, 0.996), wall.role, wraps=True)


def _split_at_edges(line: Array) -> list[Array]:
    step = np.diff(line, axis=0)
    step = step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12)
    turns = (step[:-1] * step[1:]).sum(axis=1)
    cuts = [0, *(np.flatnonzero(turns < EDGE_COSINE) + 1), len(line) - 1]
    return [line[a : b + 1] for a, b in pairwise(cuts)]
