"""How a product is photographed: on white by the shop, and by shoppers anywhere.

`on_white` and `photo` lay out a scene without rendering it: where everything stands, the exact box
of the product, and what disturbs the picture. Nothing here needs OpenGL.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from models.images.corruptions import CLUTTER, CORRUPTION_NAMES
from models.synthetic.backgrounds import background
from models.synthetic.camera import Box, box_of, framed
from models.synthetic.meshes import Array, Patch, rotation
from models.synthetic.near_duplicates import design
from models.synthetic.product_sampler import PHOTO, Design, stream
from models.synthetic.scene import Lamp, Scene, Thing
from models.synthetic.shapes.registry import shape

LIKELIHOOD = {
    CLUTTER: 0.8,
    "occlusion": 0.3,
    "low_light": 0.35,
    "blur": 0.35,
    "watermark": 0.25,
    "low_resolution": 0.35,
}
"""How often each disturbance happens to a photo."""

SHOP_LAMPS = (Lamp((-3, -5, 6), 1.5), Lamp((5, -4, 3), 0.7), Lamp((2, 5, 5), 0.5))

# Streams of one photo, so that a disturbance left out moves nothing else.
_VIEW, _LIGHT, _CLUTTER, _WHICH, _PIXELS = range(5)


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture that can be taken.

    Attributes:
        scene: what to render.
        box: the product's box (left, top, right, bottom) in 0..1.
        strengths: what disturbs it, each with its strength in 0..1.
        seed: of the disturbances on pixels.
    """

    scene: Scene
    box: Box
    strengths: dict[str, float]
    seed: list[int]


def on_white(made: Design) -> Shot:
    """The shop's picture: from the side its kind is known by, filling the frame."""
    thing = Thing(made, _placed(shape(made), turn=-made.kind.side))
    points = thing.points()
    camera = framed(points, made.kind.above, fill=0.86)
    return Shot(Scene((thing,), camera, SHOP_LAMPS), box_of(camera, points), {}, [])


def photo(made: Design, number: int, corruptions: Collection[str] = CORRUPTION_NAMES) -> Shot:
    """A shopper's photo: the same product whatever disturbs it.

    Args:
        made: the product.
        number: of the photo, 0 and up.
        disturbances: those that may happen.
    """
    keys = (made.seed, made.index, PHOTO, number)
    view = stream(*keys, _VIEW)
    turn = -made.kind.side + float(np.clip(view.normal(0, 38), -85, 85))
    thing = Thing(made, _placed(shape(made), turn=turn))
    points = thing.points()
    fill = float(view.uniform(0.48, 0.9))
    room = (1 - fill) * 0.45
    camera = framed(
        points,
        float(np.clip(made.kind.above + view.normal(4, 11), 4, 58)),
        fill=fill,
        shift=(float(view.uniform(-room, room)), float(view.uniform(-room, room))),
        roll=float(np.clip(view.normal(0, 5), -14, 14)),
    )
    strengths = _strengths(stream(*keys, _WHICH), corruptions)
    light = stream(*keys, _LIGHT)
    scene = Scene(
        (thing,),
        camera,
        _lamps(light),
        shadow=float(light.uniform(0.3, 0.6)),
        backdrop=_paper(light),
    )
    if CLUTTER in strengths:
        scene = _cluttered(scene, points, strengths[CLUTTER], stream(*keys, _CLUTTER))
    return Shot(scene, box_of(camera, points), strengths, [*keys, _PIXELS])


def _strengths(rng: np.random.Generator, wanted: Collection[str]) -> dict[str, float]:
    drawn = {name: (rng.random(), float(rng.uniform(0.2, 1.0))) for name in CORRUPTION_NAMES}
    return {
        name: round(strength, 3)
        for name, (chance, strength) in drawn.items()
        if chance < LIKELIHOOD[name] and name in wanted
    }


def _lamps(rng: np.random.Generator) -> tuple[Lamp, ...]:
    """A key lamp from anywhere before the thing, warm or cold, and two that fill."""
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


def _paper(rng: np.random.Generator) -> tuple[int, int, int]:
    """A plain backdrop, light and hardly coloured."""
    red, green, blue = (int(value) for value in rng.uniform(185, 250) + rng.uniform(-12, 5, 3))
    return red, green, blue


def _cluttered(scene: Scene, points: Array, strength: float, rng: np.random.Generator) -> Scene:
    """Textured surroundings and one to four other things beside and behind the product."""
    props = []
    low, high = points.min(axis=0), points.max(axis=0)
    for _ in range(1 + round(3 * strength * rng.random())):
        other = design(int(rng.integers(1 << 30)), 2 * int(rng.integers(1 << 20)))
        scale = float(rng.uniform(0.45, 0.95))
        placed = _placed(shape(other), turn=float(rng.uniform(-70, 70)), scale=scale)
        reach = np.concatenate([patch.points.reshape(-1, 3) for patch in placed])
        half = np.ptp(reach, axis=0) / 2
        side = -1 if rng.random() < 0.5 else 1
        behind = rng.random() < 0.5
        gap = float(rng.uniform(0.02, 0.3))
        x = (high[0] + half[0] + gap) if side > 0 else (low[0] - half[0] - gap)
        y = float(rng.uniform(-0.2, 0.8))
        if behind:
            x, y = float(rng.uniform(-1.3, 1.3)), high[1] + half[1] + float(rng.uniform(0.1, 0.9))
        props.append(Thing(other, tuple(patch.moved(x=x, y=y) for patch in placed)))
    return replace(
        scene,
        things=(*scene.things, *props),
        floor=background(rng),
        wall=background(rng) if rng.random() < 0.8 else None,
    )


def _placed(patches: list[Patch], *, turn: float, scale: float = 1.0) -> tuple[Patch, ...]:
    """Turned about the vertical, its largest side 2 × scale, standing over the origin."""
    matrix = rotation("z", turn)
    points = np.concatenate([patch.points.reshape(-1, 3) for patch in patches])
    low, high = points.min(axis=0), points.max(axis=0)
    factor = 2 * scale / float((high - low).max())
    foot = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    return tuple(
        replace(patch, points=factor * (patch.points - foot) @ matrix.T) for patch in patches
    )
