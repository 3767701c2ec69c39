"""Patches and textures as VTK holds them.

pyvista's own wrappers cost some ten times as much to make, and a scene needs dozens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.synthetic.meshes import Patch

# VTK is imported where it is needed: the rest of the studio works without it.
# ruff: noqa: PLC0415


def actor_of(patches: Sequence[Patch]) -> Any:
    """One vtkActor of all patches, with normals and texture coordinates."""
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    points, normals, uv, faces, start = [], [], [], [], 0
    for patch in patches:
        rows, columns = patch.points.shape[:2]
        grid = start + np.arange(rows * columns).reshape(rows, columns)
        corners = [grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]]
        faces.append(np.stack(corners, axis=-1).reshape(-1, 4))
        points.append(patch.points.reshape(-1, 3))
        normals.append(patch.normals().reshape(-1, 3))
        uv.append(patch.uv.reshape(-1, 2))
        start += rows * columns
    quads = np.concatenate(faces)
    mesh = vtkPolyData()
    places = vtkPoints()
    places.SetData(_floats(points))
    mesh.SetPoints(places)
    cells = vtkCellArray()
    cells.SetData(
        _numbers(np.arange(0, quads.size + 1, 4, dtype=np.int64)),
        _numbers(quads.ravel()),
    )
    mesh.SetPolys(cells)
    directions = _floats(normals)
    mesh.GetPointData().SetNormals(directions)
    mesh.GetPointData().SetTCoords(_floats(uv))
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(mesh)
    actor = vtkActor()
    actor.SetMapper(mapper)
    return actor


def vtk_texture(image: NDArray[np.uint8], *, srgb: bool = False) -> Any:
    """A vtkTexture of (h, w, 3 or 4) bytes, repeated and smoothed; `srgb` for base colours."""
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkRenderingCore import vtkTexture

    height, width, channels = image.shape
    data = vtkImageData()
    data.SetDimensions(width, height, 1)
    flat = np.ascontiguousarray(image[::-1]).reshape(-1, channels)
    data.GetPointData().SetScalars(_copied(flat))
    texture = vtkTexture()
    texture.SetInputData(data)
    texture.SetColorModeToDirectScalars()
    texture.InterpolateOn()
    texture.MipmapOn()
    texture.RepeatOn()
    if srgb:
        texture.UseSRGBColorSpaceOn()
    return texture


def _floats(rows: Sequence[NDArray[np.float64]]) -> Any:
    return _copied(np.concatenate(rows).astype(np.float32))


def _numbers(values: NDArray[np.int64]) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtkIdTypeArray

    return numpy_to_vtkIdTypeArray(values.astype(np.int64), deep=1)  # type: ignore[no-untyped-call]


def _copied(values: NDArray[Any]) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk

    return numpy_to_vtk(values, deep=1)  # type: ignore[no-untyped-call]
