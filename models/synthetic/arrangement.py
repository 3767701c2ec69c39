"""Scenes of several products side by side, each with its box: what a query with objects shows.

Nothing here needs OpenGL, as in `models.synthetic.photography`, whose lamps and rooms these are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.synthetic.backgrounds import background
from models.synthetic.camera import Box, box_of, fit_camera
from models.synthetic.photography import backdrop_of, place, random_lamps
from models.synthetic.product_sampler import PHOTO, Design, rng_for
from models.synthetic.scene import PlacedProduct, Scene
from models.synthetic.shapes.registry import shape

_ARRANGED = 1 << 20
"""Keeps the random numbers of an arrangement apart from those of a product's own photos."""


@dataclass(frozen=True, eq=False)
class Arrangement:
    """A scene of several products that can be rendered.

    Attributes:
        scene: to render; its products are in the order that they were given.
        boxes: of each product (left, top, right, bottom) in 0..1.
    """

    scene: Scene
    boxes: tuple[Box, ...]


def arrange(products: Sequence[Design], number: int) -> Arrangement:
    """Products in a row on a textured floor, some nearer than others, none in front of another.

    Args:
        products: one or more; the first says which random numbers are drawn.
        number: of the scene, from 0.
    """
    first = products[0]
    rng = rng_for(first.seed, first.index, PHOTO, _ARRANGED + number)
    placed, edge = [], 0.0
    for product in products:
        turn = -product.kind.azimuth + float(np.clip(rng.normal(0, 30), -70, 70))
        patches = place(shape(product), turn=turn, scale=float(rng.uniform(0.7, 1.0)))
        points = np.concatenate([patch.points.reshape(-1, 3) for patch in patches])
        x, y = edge - float(points[:, 0].min()), float(rng.uniform(-0.5, 0.7))
        edge += float(np.ptp(points[:, 0])) + float(rng.uniform(0.15, 0.7))
        placed.append(PlacedProduct(product, tuple(one.translated(x=x, y=y) for one in patches)))
    centred = [
        PlacedProduct(one.design, tuple(patch.translated(x=-edge / 2) for patch in one.patches))
        for one in placed
    ]
    everything = np.concatenate([one.points() for one in centred])
    fill = float(rng.uniform(0.78, 0.95))
    room = (1 - fill) * 0.45
    camera = fit_camera(
        everything,
        float(rng.uniform(8, 40)),
        fill=fill,
        shift=(float(rng.uniform(-room, room)), float(rng.uniform(-room, room))),
        roll=float(np.clip(rng.normal(0, 4), -10, 10)),
    )
    scene = Scene(
        tuple(centred),
        camera,
        random_lamps(rng),
        backdrop=backdrop_of(rng),
        floor=background(rng),
        wall=background(rng) if rng.random() < 0.7 else None,
        shadow=float(rng.uniform(0.2, 0.5)),
    )
    return Arrangement(scene, tuple(box_of(camera, one.points()) for one in centred))
