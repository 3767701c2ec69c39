"""Where the viewer stands: a pinhole camera, and what it sees of points.

The product is turned, the camera stays before it (towards −y) and rises; so a scene's wall and
props keep their places whatever side of the product is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.synthetic.meshes import Array

Box = tuple[float, float, float, float]

ANGLE = 28.0
"""Vertical field of view in degrees: a phone at arm's length, zoomed a little."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A square pinhole camera.

    Attributes:
        eye: where it is (3,).
        target: what is in the middle of the picture (3,).
        up: what is up in the picture (3,).
        angle: field of view in degrees.
    """

    eye: Array
    target: Array
    up: Array
    angle: float = ANGLE

    def project(self, points: Array) -> Array:
        """Pixel coordinates of points (n, 3) as shares of the picture: (n, 2), origin top left."""
        forward = self.target - self.eye
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, self.up)
        right /= np.linalg.norm(right)
        up = np.cross(right, forward)
        seen = points - self.eye
        reach = np.maximum(seen @ forward, 1e-6) * np.tan(np.radians(self.angle / 2))
        return np.column_stack(
            [0.5 + 0.5 * (seen @ right) / reach, 0.5 - 0.5 * (seen @ up) / reach]
        )


def framed(
    points: Array,
    elevation: float,
    *,
    fill: float,
    shift: tuple[float, float] = (0, 0),
    roll: float = 0.0,
) -> Camera:
    """The camera before points (n, 3) that fills a share of the picture with them.

    Args:
        points: what must be seen.
        elevation: degrees above the horizon.
        fill: larger side of their box over the side of the picture.
        shift: where the middle of the box lies off the middle of the picture, in shares of it.
        roll: degrees by which the picture is tilted.
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
        seen = camera.project(points)
        low, high = seen.min(axis=0), seen.max(axis=0)
        distance *= float((high - low).max()) / fill
        off = (low + high) / 2 - 0.5 - np.asarray(shift)
        reach = 2 * distance * np.tan(np.radians(ANGLE / 2))
        target = target + reach * (off[0] * side - off[1] * up)
        camera = replace(camera, eye=target + distance * back, target=target)
    return camera


def box_of(camera: Camera, points: Array) -> Box:
    """The box (left, top, right, bottom) of points in the picture, clipped to 0..1."""
    seen = np.clip(camera.project(points), 0, 1)
    (left, top), (right, bottom) = seen.min(axis=0), seen.max(axis=0)
    return float(left), float(top), float(right), float(bottom)
