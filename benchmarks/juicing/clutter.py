"""Cluttered and clean photos of the same products, searched with juice and without.

Cluttered are rendered photos and those of dreambooth, clean are the same rendered photos without
clutter and those of apc, venia and demo_merch; each catalog counts the same.
A rendered photo is taken twice, with other products and a textured room around the product and
without, all else the same. Without juice a picture is the mean over all its patches and pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.juicing.pictures import Network, SeenPicture, similarities
from benchmarks.juicing.tokens import SeenCatalog
from models.evaluation.metrics import Level
from models.images.corruptions import CLUTTER
from models.synthetic.near_duplicates import sample_product
from models.synthetic.photography import packshot, shopper_photo
from models.synthetic.scene import Renderer
from workers.progress.tasks import Progress

SEED = 17
CLUTTERED = ("cluttered", "dreambooth")
TAKES = 12
"""Photos of a product among which the first one with clutter is taken."""


def rendered_catalogs(
    network: Network, renderer: Renderer, products: int, progress: Progress
) -> tuple[SeenCatalog, SeenCatalog]:
    """Packshots, asked for by cluttered photos and by clean ones."""
    items, cluttered, clean = [], [], []
    with progress.task("cluttered and clean photos", products) as task:
        for index in range(products):
            product = sample_product(SEED, index)
            items.append(network.see(renderer.render(packshot(product).scene)))
            shots = (shopper_photo(product, number, (CLUTTER,)) for number in range(TAKES))
            number, shot = next(
                (number, one) for number, one in enumerate(shots) if CLUTTER in one.strengths
            )
            cluttered.append(network.see(renderer.render(shot.scene)))
            clean.append(network.see(renderer.render(shopper_photo(product, number, ()).scene)))
            task(index + 1)
    levels = np.full((products, products), Level.IRRELEVANT, np.int8)
    np.fill_diagonal(levels, Level.INSTANCE)
    return (
        SeenCatalog("cluttered", items, cluttered, levels),
        SeenCatalog("clean", items, clean, levels),
    )


def measure_clutter(
    cluttered: SeenCatalog, clean: SeenCatalog, others: Sequence[SeenCatalog]
) -> dict[str, object]:
    """The keys of clutter in points of I-HR@1, and a table with real catalogs beside."""
    table = {
        one.name: {
            "without": round(_first_right(one, juiced=False), 4),
            "with": round(_first_right(one, juiced=True), 4),
        }
        for one in (cluttered, clean, *others)
    }
    gains = {name: 100 * (rates["with"] - rates["without"]) for name, rates in table.items()}
    in_scenes = [gain for name, gain in gains.items() if name in CLUTTERED]
    others_gain = [gain for name, gain in gains.items() if name not in CLUTTERED]
    return {
        "clutter_gain": round(float(np.mean(in_scenes)), 2),
        "clean_loss": round(-float(np.mean(others_gain)), 2),
        "juice_i_hr_1": table,
    }


def _first_right(catalog: SeenCatalog, *, juiced: bool) -> float:
    def vectors(pictures: Sequence[SeenPicture]) -> np.ndarray:
        return np.stack([one.vector if juiced else one.plain for one in pictures])

    first = similarities(vectors(catalog.queries), vectors(catalog.items)).argmax(axis=1)
    found = catalog.levels[np.arange(len(first)), first]
    return float((found == Level.INSTANCE).mean())
