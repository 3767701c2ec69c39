"""Patches and textures as VTK objects.

pyvista's own wrappers take about ten times as long to create, and a scene needs dozens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.synthetic.meshes import Patch

# VTK is imported where it is needed: everything but rendering works without it.
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
    vertices = vtkPoints()
    vertices.SetData(_vtk_floats(points))
    mesh.SetPoints(vertices)
    cells = vtkCellArray()
    cells.SetData(
        _vtk_ids(np.arange(0, quads.size + 1, 4, dtype=np.int64)),
        _vtk_ids(quads.ravel()),
    )
    mesh.SetPolys(cells)
    directions = _vtk_floats(normals)
    mesh.GetPointData().SetNormals(directions)
    mesh.GetPointData().SetTCoords(_vtk_floats(uv))
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(mesh)
    actor = vtkActor()
    actor.SetMapper(mapper)
    return actor


def vtk_texture(image: NDArray[np.uint8], *, srgb: bool = False) -> Any:
    """A vtkTexture of (h, w, 3 or 4) bytes, repeated and interpolated; `srgb` for base colours."""
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkRenderingCore import vtkTexture

    height, width, channels = image.shape
    data = vtkImageData()
    data.SetDimensions(width, height, 1)
    flat = np.ascontiguousarray(image[::-1]).reshape(-1, channels)
    data.GetPointData().SetScalars(_vtk_array(flat))
    texture = vtkTexture()
    texture.SetInputData(data)
    texture.SetColorModeToDirectScalars()
    texture.InterpolateOn()
    texture.MipmapOn()
    texture.RepeatOn()
    if srgb:
        texture.UseSRGBColorSpaceOn()
    return texture


def _vtk_floats(rows: Sequence[NDArray[np.float64]]) -> Any:
    return _vtk_array(np.concatenate(rows).astype(np.float32))


def _vtk_ids(values: NDArray[np.int64]) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtkIdTypeArray

    return numpy_to_vtkIdTypeArray(values.astype(np.int64), deep=1)  # type: ignore[no-untyped-call]


def _vtk_array(values: NDArray[Any]) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk

    return numpy_to_vtk(values, deep=1)  # type: ignore[no-untyped-call]
