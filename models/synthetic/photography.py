"""How a product is photographed: packshots on white, and photos by shoppers.

`packshot` and `shopper_photo` lay out a scene without rendering it: geometry, the exact box of the
product, and the corruptions of the picture. Nothing here needs OpenGL.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from models.images.corruptions import CLUTTER, CORRUPTION_NAMES
from models.synthetic.backgrounds import background
from models.synthetic.camera import Box, box_of, fit_camera
from models.synthetic.meshes import Array, Patch, rotation
from models.synthetic.near_duplicates import sample_product
from models.synthetic.product_sampler import PHOTO, Design, rng_for
from models.synthetic.scene import Lamp, PlacedProduct, Scene
from models.synthetic.shapes.registry import shape

PROBABILITY = {
    CLUTTER: 0.8,
    "occlusion": 0.3,
    "low_light": 0.35,
    "blur": 0.35,
    "watermark": 0.25,
    "low_resolution": 0.35,
}
"""Of each corruption of a shopper's photo."""

PACKSHOT_LAMPS = (Lamp((-3, -5, 6), 1.5), Lamp((5, -4, 3), 0.7), Lamp((2, 5, 5), 0.5))

# Random streams of one photo, so that leaving a corruption out changes nothing else.
_VIEW, _LIGHT, _CLUTTER, _STRENGTHS, _PIXELS = range(5)


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture that can be rendered.

    Attributes:
        scene: to render.
        box: the product's box (left, top, right, bottom) in 0..1.
        strengths: its corruptions, each with a strength in 0..1.
        seed: of the corruptions of pixels.
    """

    scene: Scene
    box: Box
    strengths: dict[str, float]
    seed: list[int]


def packshot(product: Design) -> Shot:
    """The shop's picture: on white, in the usual view of its kind, filling the frame."""
    placed = PlacedProduct(product, place(shape(product), turn=-product.kind.azimuth))
    points = placed.points()
    camera = fit_camera(points, product.kind.elevation, fill=0.86)
    return Shot(Scene((placed,), camera, PACKSHOT_LAMPS), box_of(camera, points), {}, [])


def shopper_photo(
    product: Design, number: int, corruptions: Collection[str] = CORRUPTION_NAMES
) -> Shot:
    """A shopper's photo; view and light do not depend on the corruptions.

    Args:
        product: to be shown.
        number: of the photo, from 0.
        corruptions: those that may be applied.
    """
    keys = (product.seed, product.index, PHOTO, number)
    view = rng_for(*keys, _VIEW)
    turn = -product.kind.azimuth + float(np.clip(view.normal(0, 38), -85, 85))
    placed = PlacedProduct(product, place(shape(product), turn=turn))
    points = placed.points()
    fill = float(view.uniform(0.48, 0.9))
    room = (1 - fill) * 0.45
    camera = fit_camera(
        points,
        float(np.clip(product.kind.elevation + view.normal(4, 11), 4, 58)),
        fill=fill,
        shift=(float(view.uniform(-room, room)), float(view.uniform(-room, room))),
        roll=float(np.clip(view.normal(0, 5), -14, 14)),
    )
    strengths = _strengths(rng_for(*keys, _STRENGTHS), corruptions)
    light = rng_for(*keys, _LIGHT)
    scene = Scene(
        (placed,),
        camera,
        random_lamps(light),
        shadow=float(light.uniform(0.3, 0.6)),
        backdrop=backdrop_of(light),
    )
    if CLUTTER in strengths:
        scene = _add_clutter(scene, points, strengths[CLUTTER], rng_for(*keys, _CLUTTER))
    return Shot(scene, box_of(camera, points), strengths, [*keys, _PIXELS])


def _strengths(rng: np.random.Generator, corruptions: Collection[str]) -> dict[str, float]:
    drawn = {name: (rng.random(), float(rng.uniform(0.2, 1.0))) for name in CORRUPTION_NAMES}
    return {
        name: round(strength, 3)
        for name, (chance, strength) in drawn.items()
        if chance < PROBABILITY[name] and name in corruptions
    }


def random_lamps(rng: np.random.Generator) -> tuple[Lamp, ...]:
    """A key light from somewhere in front, warm or cold, and two fill lights."""
    side, warm = rng.uniform(-1.2, 1.2), rng.uniform(-1, 1)
    colour = (1.0 if warm > 0 else 0.88, 0.95, 1.0 if warm < 0 else 0.8)
    key = Lamp(
        (6 * np.sin(side), -5 * np.cos(side), float(rng.uniform(3, 8))),
        float(rng.uniform(1.1, 1.8)),
        colour,
    )
    return (
        key,
        Lamp((-4 * np.sign(side), -4, 3), float(rng.uniform(0.2, 0.6))),
        Lamp((2, 5, 5), float(rng.uniform(0.1, 0.5))),
    )


def backdrop_of(rng: np.random.Generator) -> tuple[int, int, int]:
    """The colour of a plain backdrop, light and almost grey."""
    red, green, blue = (int(value) for value in rng.uniform(185, 250) + rng.uniform(-12, 5, 3))
    return red, green, blue


def _add_clutter(scene: Scene, points: Array, strength: float, rng: np.random.Generator) -> Scene:
    """Add a textured floor and wall, and one to four other products beside and behind."""
    props = []
    low, high = points.min(axis=0), points.max(axis=0)
    for _ in range(1 + round(3 * strength * rng.random())):
        other = sample_product(int(rng.integers(1 << 30)), 2 * int(rng.integers(1 << 20)))
        scale = float(rng.uniform(0.45, 0.95))
        patches = place(shape(other), turn=float(rng.uniform(-70, 70)), scale=scale)
        reach = np.concatenate([patch.points.reshape(-1, 3) for patch in patches])
        half = np.ptp(reach, axis=0) / 2
        side = -1 if rng.random() < 0.5 else 1
        behind = rng.random() < 0.5
        gap = float(rng.uniform(0.02, 0.3))
        x = (high[0] + half[0] + gap) if side > 0 else (low[0] - half[0] - gap)
        y = float(rng.uniform(-0.2, 0.8))
        if behind:
            x, y = float(rng.uniform(-1.3, 1.3)), high[1] + half[1] + float(rng.uniform(0.1, 0.9))
        props.append(PlacedProduct(other, tuple(patch.translated(x=x, y=y) for patch in patches)))
    return replace(
        scene,
        products=(*scene.products, *props),
        floor=background(rng),
        wall=background(rng) if rng.random() < 0.8 else None,
    )


def place(patches: list[Patch], *, turn: float, scale: float = 1.0) -> tuple[Patch, ...]:
    """Rotated about the vertical axis, the largest side 2 × scale, standing over the origin."""
    matrix = rotation("z", turn)
    points = np.concatenate([patch.points.reshape(-1, 3) for patch in patches])
    low, high = points.min(axis=0), points.max(axis=0)
    factor = 2 * scale / float((high - low).max())
    foot = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    return tuple(
        replace(patch, points=factor * (patch.points - foot) @ matrix.T) for patch in patches
    )
