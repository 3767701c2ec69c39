"""Rendering of scenes with pyvista (VTK), off screen, on the CPU.

Each process keeps one window and exchanges its actors. Materials are physically based (PBR), lit by
three lamps and an environment map. pyvista is imported when a renderer is opened.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import SyntheticError
from models.synthetic.camera import Camera
from models.synthetic.meshes import Array, Patch
from models.synthetic.product_sampler import RGB, Design
from models.synthetic.surfaces import Texture, surface_of, texture_of
from models.synthetic.taxonomy import MATERIALS
from models.synthetic.vtk_actors import actor_of, vtk_texture

Mask = NDArray[np.bool_]

INSTALL = (
    "run `pip install 'lookstream[synthetic]'`, and install a software OpenGL (Debian: apt-get "
    "install libegl1 libgl1-mesa-dri, or libosmesa6)"
)


@dataclass(frozen=True)
class Lamp:
    """A light: its position (x, y, z), intensity and colour (0..1)."""

    at: tuple[float, float, float]
    power: float
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class PlacedProduct:
    """A product in a scene: its patches in scene coordinates, and its design for the surfaces."""

    design: Design
    patches: tuple[Patch, ...]

    def points(self) -> Array:
        """All its points (n, 3)."""
        return np.concatenate([patch.points.reshape(-1, 3) for patch in self.patches])


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything in one picture.

    Attributes:
        products: each has its soft shadow on the floor.
        camera: of the picture.
        lamps: three of them.
        backdrop: background colour.
        floor, wall: textures, None for the backdrop alone.
        shadow: 0 none .. 1 black.
    """

    products: tuple[PlacedProduct, ...]
    camera: Camera
    lamps: tuple[Lamp, ...]
    backdrop: RGB = (255, 255, 255)
    floor: Texture | None = None
    wall: Texture | None = None
    shadow: float = 0.35


def _load_triton() -> None:
    """Load what PyTorch loads with its first optimiser: after Mesa it would crash the process, as
    both bring an LLVM of their own. Before it, both work."""
    if "torch" in sys.modules:
        with suppress(ImportError):
            import_module("triton")


class Renderer:
    """A window of `size` × `size` pixels. One per process; close it when done.

    Raises:
        SyntheticError: pyvista is missing or this machine has no OpenGL; says what to install.
    """

    def __init__(self, size: int = 256) -> None:
        # Mesa's software renderer would start a thread per core; processes are enough.
        os.environ.setdefault("LP_NUM_THREADS", "1")
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
        _load_triton()
        try:
            import pyvista  # noqa: PLC0415 - everything but rendering works without it
            from vtkmodules.vtkCommonCore import vtkLogger, vtkObject  # noqa: PLC0415
        except ImportError as error:
            raise SyntheticError(
                f"synthetic pictures are rendered with pyvista: {INSTALL} ({error})"
            ) from error
        vtkObject.GlobalWarningDisplayOff()
        vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
        self.size = size
        self._pv: Any = pyvista
        self._plotter: Any = pyvista.Plotter(
            off_screen=True, window_size=[size, size], lighting="none"
        )
        window: Any = self._plotter.render_window
        self._window = window
        window.Initialize()
        if window.GetGenericContext() is None:  # rendering would crash the process
            raise SyntheticError(f"no OpenGL on this machine: {INSTALL}")
        # FXAA costs a fifth of sampling each pixel four times.
        self._window.SetMultiSamples(0)
        self._renderer: Any = self._plotter.renderer
        self._renderer.SetUseFXAA(True)
        self._lights = [pyvista.Light(light_type="scene light") for _ in range(3)]
        for light in self._lights:
            self._plotter.add_light(light)
        self._set_environment_light()
        self._shadow_vtk = vtk_texture(_shadow_texture())

    def close(self) -> None:
        """Close the window."""
        self._plotter.close()

    def render(self, scene: Scene) -> Texture:
        """The picture of a scene, uint8 (size, size, 3)."""
        for lamp, light in zip(scene.lamps, self._lights, strict=True):
            light.position = lamp.at
            light.focal_point = (0.0, 0.0, 0.5)
            light.intensity = lamp.power
            light.diffuse_color = lamp.colour
        self._plotter.set_background([channel / 255 for channel in scene.backdrop])
        actors = [actor for product in scene.products for actor in self._actors(product)]
        actors += self._surroundings(scene)
        return self._render(actors, scene.camera)

    def mask(self, product: PlacedProduct, camera: Camera) -> Mask:
        """The mask of a product without occlusion: bool (size, size)."""
        self._plotter.set_background("black")
        actors = []
        for patches in _by_role(product.patches).values():
            actor = actor_of(patches)
            actor.GetProperty().LightingOff()
            actor.GetProperty().SetColor(1.0, 1.0, 1.0)
            actors.append(actor)
        self._renderer.SetUseFXAA(False)
        found: Mask = self._render(actors, camera)[..., 0] > 127
        self._renderer.SetUseFXAA(True)
        return found

    def _render(self, actors: list[Any], camera: Camera) -> Texture:
        from vtkmodules.vtkCommonCore import vtkUnsignedCharArray  # noqa: PLC0415

        view = self._renderer.GetActiveCamera()
        view.SetPosition(*camera.eye)
        view.SetFocalPoint(*camera.target)
        view.SetViewUp(*camera.up)
        view.SetViewAngle(camera.angle)
        for actor in actors:
            self._renderer.AddActor(actor)
        self._renderer.ResetCameraClippingRange()
        self._window.Render()
        pixels = vtkUnsignedCharArray()
        self._window.GetPixelData(0, 0, self.size - 1, self.size - 1, 0, pixels, 0)
        picture: Texture = _array(pixels).reshape(self.size, self.size, 3)[::-1].copy()
        for actor in actors:
            self._renderer.RemoveActor(actor)
            actor.ReleaseGraphicsResources(self._window)
        return picture

    def _actors(self, product: PlacedProduct) -> list[Any]:
        actors = []
        for role, patches in _by_role(product.patches).items():
            surface = surface_of(product.design, role)
            material = MATERIALS[surface.material]
            actor = actor_of(patches)
            prop = actor.GetProperty()
            prop.SetInterpolationToPBR()
            prop.SetRoughness(material.roughness)
            prop.SetMetallic(material.metallic)
            if role == "glow":
                prop.SetAmbient(0.8)
                prop.SetDiffuse(0.4)
            drawn = texture_of(product.design, role, patches[0].aspect)
            if drawn is None:
                prop.SetColor(*(channel / 255 for channel in surface.rgb))
            else:
                prop.SetColor(1.0, 1.0, 1.0)
                prop.SetBaseColorTexture(vtk_texture(drawn, srgb=True))
            prop.SetOpacity(material.opacity)
            actors.append(actor)
        return actors

    def _surroundings(self, scene: Scene) -> list[Any]:
        actors = []
        if scene.floor is not None:
            actors.append(
                self._quad((0, 1.5, -0.004), (7, 0, 0), (0, 5.5, 0), scene.floor, repeat=3)
            )
        if scene.wall is not None:
            actors.append(self._quad((0, 4.2, 3.5), (8, 0, 0), (0, 0, 4), scene.wall, repeat=3))
        for product in scene.products if scene.shadow > 0 else ():
            points = product.points()
            low = points[points[:, 2] < 0.3 * points[:, 2].max() + 1e-6]
            middle = (low.min(axis=0) + low.max(axis=0)) / 2
            reach = np.ptp(low, axis=0) * 0.62 + 0.12
            shadow = self._quad(
                (middle[0], middle[1], 0.0), (reach[0], 0, 0), (0, reach[1], 0), None
            )
            shadow.SetTexture(self._shadow_vtk)
            shadow.GetProperty().SetOpacity(scene.shadow)
            actors.append(shadow)
        return actors

    def _quad(
        self,
        centre: Iterable[float],
        right: Iterable[float],
        up: Iterable[float],
        texture: Texture | None,
        *,
        repeat: float = 1.0,
    ) -> Any:
        middle, x, y = (np.array(tuple(axis), float) for axis in (centre, right, up))
        corners = np.array([[middle - x - y, middle + x - y], [middle - x + y, middle + x + y]])
        uv = repeat * np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 1.0]]])
        actor = actor_of([Patch(corners, uv)])
        actor.GetProperty().SetLighting(texture is not None)
        if texture is not None:
            actor.SetTexture(vtk_texture(texture))
            actor.GetProperty().SetAmbient(0.35)
            actor.GetProperty().SetDiffuse(0.65)
        return actor

    def _set_environment_light(self) -> None:
        """Light the scene with an environment map, for metal and glaze to reflect."""
        environment = vtk_texture(_environment_map(), srgb=True)
        self._renderer.UseSphericalHarmonicsOn()
        self._renderer.GetEnvMapPrefiltered().SetPrefilterMaxSamples(64)
        self._renderer.GetEnvMapPrefiltered().SetPrefilterLevels(5)
        self._renderer.SetEnvironmentUp(0, 0, 1)
        self._renderer.SetEnvironmentRight(1, 0, 0)
        self._renderer.UseImageBasedLightingOn()
        self._renderer.SetEnvironmentTexture(environment, False)


def _array(values: Any) -> NDArray[np.uint8]:
    from vtkmodules.util.numpy_support import vtk_to_numpy  # noqa: PLC0415

    return np.asarray(vtk_to_numpy(values), np.uint8)  # type: ignore[no-untyped-call]


def _by_role(patches: Iterable[Patch]) -> dict[str, list[Patch]]:
    roles: dict[str, list[Patch]] = {}
    for patch in patches:
        roles.setdefault(patch.role, []).append(patch)
    return roles


def _environment_map() -> Texture:
    """An equirectangular map (64, 128, 3) of grey walls, a bright ceiling and windows."""
    y, x = np.mgrid[:64, :128].astype(np.float32)
    level = 70 + 110 * np.clip(1 - y / 40, 0, 1)
    for column, row, wide, high in ((24, 20, 10, 12), (84, 22, 14, 10), (110, 18, 6, 14)):
        box = np.clip(6 - np.maximum(np.abs(x - column) - wide, np.abs(y - row) - high), 0, 6) / 6
        level = np.maximum(level, 255 * box)
    return np.repeat(level[..., None], 3, axis=2).astype(np.uint8)


def _shadow_texture() -> NDArray[np.uint8]:
    """Black, opaque in the middle and transparent at the edge: (64, 64, 4)."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    blob = np.zeros((64, 64, 4), np.uint8)
    blob[..., 3] = 255 * np.clip(1 - np.hypot(x, y), 0, 1) ** 1.3
    return blob
