"""Scenes of three rendered products: are they found, and then recognised as by given boxes?

A catalog of packshots, asked by scenes of three of its products each. An object is found where a
box overlaps its own by half (intersection over union).
"""

from __future__ import annotations

import numpy as np

from benchmarks.juicing.boxes import SIZE
from benchmarks.juicing.pictures import Network, similarities
from models.arrays import Box, Floats
from models.images.letterbox import Picture
from models.juicer.closer_look import look_closer
from models.juicer.objects import FoundObject, overlap
from models.synthetic.arrangement import arrange
from models.synthetic.near_duplicates import sample_product
from models.synthetic.photography import packshot
from models.synthetic.scene import Renderer
from workers.progress.tasks import Progress
from workers.query.objects import cropped

SEED = 19
"""No picture that the head was taught on is of this seed."""

SHOWN = 3
OTHERS = 120
"""Products of the catalog that no scene shows."""

FOUND = 0.5


def measure_scenes(scenes: int, progress: Progress) -> dict[str, object]:
    """Keys of scenes.

    scene_found        share of the products that are found
    scene_gap          points of I-HR@1 by found boxes below that by given ones, of found products
    scene_gap_of_all   the same where a product that is not found counts as not recognised
    scene_extra        boxes a scene that are of no product
    """
    network, renderer = Network(), Renderer(SIZE)
    products = [sample_product(SEED, 2 * index) for index in range(SHOWN * scenes + OTHERS)]
    items, given, found, extra = [], [], [], 0
    with progress.task("scenes", len(products)) as task:
        for index, product in enumerate(products):
            items.append(network.see(renderer.render(packshot(product).scene)).vector)
            task(index)
            if index % SHOWN == SHOWN - 1 and index < SHOWN * scenes:
                scene = arrange(products[index - SHOWN + 1 : index + 1], index)
                picture = renderer.render(scene.scene)
                boxes = _boxes(network, picture)
                extra += len(boxes)
                for box in scene.boxes:
                    given.append(_vector(network, picture, box))
                    best = _best(boxes, box)
                    extra -= best is not None
                    found.append(None if best is None else _vector(network, picture, best))
    renderer.close()
    shown = np.arange(SHOWN * scenes)
    matched = np.array([one is not None for one in found])
    catalog = np.stack(items)
    by_given = similarities(np.stack(given), catalog).argmax(axis=1) == shown
    by_found = np.zeros(len(shown), bool)
    if matched.any():
        asked = np.stack([one for one in found if one is not None])
        by_found[matched] = similarities(asked, catalog).argmax(axis=1) == shown[matched]
    gap = by_given[matched].mean() - by_found[matched].mean() if matched.any() else 1.0
    return {
        "scene_found": round(float(matched.mean()), 4),
        "scene_gap": round(100 * float(gap), 2),
        "scene_gap_of_all": round(100 * float(by_given.mean() - by_found.mean()), 2),
        "scene_i_hr_1_given": round(float(by_given.mean()), 4),
        "scene_extra": round(extra / scenes, 3),
    }


def _boxes(network: Network, picture: Picture) -> list[Box]:
    objects = network.see(picture).juiced.products.objects
    return [one.box for one in look_closer(picture, objects, network.source)]


def _best(boxes: list[Box], box: Box) -> Box | None:
    """The found box that is an object's; None without one."""
    if not boxes:
        return None
    overlaps = overlap(box, np.array(boxes, np.float32))
    best = int(overlaps.argmax())
    return boxes[best] if overlaps[best] >= FOUND else None


def _vector(network: Network, picture: Picture, box: Box) -> Floats:
    return network.see(cropped(picture, FoundObject(box, 1.0))).vector
