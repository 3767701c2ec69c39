"""A pinhole camera, its projection of points, and its fit to a product.

The product is rotated, the camera stays in front of it (towards −y) at some elevation: so wall and
props of a scene keep their places whatever side of the product is visible.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.synthetic.meshes import Array

Box = tuple[float, float, float, float]

FIELD_OF_VIEW = 28.0
"""Vertical field of view in degrees, of a phone zoomed a little."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A square pinhole camera.

    Attributes:
        eye: its position (3,).
        target: the point at the centre of the picture (3,).
        up: the up direction of the picture (3,).
        angle: field of view in degrees.
    """

    eye: Array
    target: Array
    up: Array
    angle: float = FIELD_OF_VIEW

    def project(self, points: Array) -> Array:
        """Image coordinates of points (n, 3), 0..1 inside the picture: (n, 2), origin top left."""
        forward = self.target - self.eye
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, self.up)
        right /= np.linalg.norm(right)
        up = np.cross(right, forward)
        relative = points - self.eye
        reach = np.maximum(relative @ forward, 1e-6) * np.tan(np.radians(self.angle / 2))
        return np.column_stack(
            [0.5 + 0.5 * (relative @ right) / reach, 0.5 - 0.5 * (relative @ up) / reach]
        )


def fit_camera(
    points: Array,
    elevation: float,
    *,
    fill: float,
    shift: tuple[float, float] = (0, 0),
    roll: float = 0.0,
) -> Camera:
    """A camera in front of points (n, 3) whose box fills a share of the picture.

    Args:
        points: to be visible.
        elevation: degrees above the horizon.
        fill: larger side of their box over the side of the picture.
        shift: of the centre of the box from the centre of the picture, in shares of its side.
        roll: tilt of the picture in degrees.
    """
    rise, tilt = np.radians(elevation), np.radians(roll)
    back = np.array([0.0, -np.cos(rise), np.sin(rise)])
    right = np.array([1.0, 0.0, 0.0])
    upright = np.cross(right, -back)
    up = np.cos(tilt) * upright + np.sin(tilt) * right
    target = (points.min(axis=0) + points.max(axis=0)) / 2
    distance = 6.0
    camera = Camera(target + distance * back, target, up)
    side = np.cross(-back, up)
    for _ in range(6):
        projected = camera.project(points)
        low, high = projected.min(axis=0), projected.max(axis=0)
        distance *= float((high - low).max()) / fill
        off = (low + high) / 2 - 0.5 - np.asarray(shift)
        reach = 2 * distance * np.tan(np.radians(FIELD_OF_VIEW / 2))
        target = target + reach * (off[0] * side - off[1] * up)
        camera = replace(camera, eye=target + distance * back, target=target)
    return camera


def box_of(camera: Camera, points: Array) -> Box:
    """The bounding box (left, top, right, bottom) of points in the picture, clipped to 0..1."""
    projected = np.clip(camera.project(points), 0, 1)
    (left, top), (right, bottom) = projected.min(axis=0), projected.max(axis=0)
    return float(left), float(top), float(right), float(bottom)
