"""The juicer: boxes, tokens, cluttered photos and what they cost, against simpler ways.

    lookstream bench juicer [--products 200] [--photos 150] [--parts boxes tokens clutter cost]

Pictures alone, by the packaged encoder, each catalog searched as one that it does not know. Real
catalogs are those of `../shared/data` beside the checkout that have photos and are not trained on;
without them rendered ones alone are measured. The last line is one JSON object:

    box_iou_synthetic    mean intersection over union of the surest box, of rendered photos
    box_iou_real         the same of real photos that were boxed by hand
    token_quality_kept   first places by the stored tokens, over those by all patches
    token_bytes_share    bytes of the stored tokens, over those of all patches
    over_random_tokens, over_merged_tokens
                         points of the stored tokens above 16 at random, and 16 by merging
    clutter_gain         points of I-HR@1 that juice gives cluttered photos
    clean_loss           points of I-HR@1 that juice costs the same photos without clutter
    overhead             time of juicing over that of encoding
    item_bytes           of the tokens that are stored with an item
    typo_loss            points of R@1 that a typo costs words (`benchmarks.juicing.typos`)
    over_sieve_min, over_random_min, half_pixels_loss
                         training on fewer pixels or photos (`benchmarks.juicing.training`)
    attribute_precision_least
                         of predicted attributes (`benchmarks.juicing.predicted_attributes`)
    juice_bytes          of all that is stored of a picture
    boxes, tokens, juice_i_hr_1   by catalog and rule
"""

from __future__ import annotations

import argparse
from typing import Any

import orjson

from benchmarks.juicing.boxes import SIZE, measure_boxes
from benchmarks.juicing.clutter import measure_clutter, rendered_catalogs
from benchmarks.juicing.cost import measure_cost
from benchmarks.juicing.pictures import Network, SeenPicture
from benchmarks.juicing.predicted_attributes import measure_predicted_attributes
from benchmarks.juicing.tokens import SeenCatalog, measure_tokens
from benchmarks.juicing.training import measure_training
from benchmarks.juicing.typos import measure_typos
from benchmarks.unseen.catalog_task import Limits, read_task
from benchmarks.unseen.features import picture_of
from models.images.files import open_picture
from models.synthetic.scene import Renderer
from tests.paths import EXAMPLE, SHARED
from workers.progress.open import open_progress
from workers.progress.tasks import Progress

PARTS = ("boxes", "tokens", "clutter", "cost", "typos", "words", "training")
CATALOGS = ("venia", "apc", "dreambooth", "demo_merch")
TIMED = 20


def real_catalogs(network: Network, progress: Progress) -> list[SeenCatalog]:
    """Real catalogs that the encoder was not trained on, as far as they are there."""
    found = []
    for name in CATALOGS:
        if not (SHARED / name).is_dir():
            continue
        task = read_task(SHARED / name, (), Limits())
        rows = list(dict.fromkeys([*task.items.tolist(), *task.queries.tolist()]))
        seen: dict[int, SeenPicture] = {}
        with progress.task(f"encoding {name}", len(rows)) as encoding:
            for row in rows:
                seen[row] = network.see(picture_of(task.sources[row]))
                encoding(len(seen))
        items = [seen[row] for row in task.items.tolist()]
        queries = [seen[row] for row in task.queries.tolist()]
        found.append(SeenCatalog(name, items, queries, task.levels))
    return found


def main() -> None:
    """Run it and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--products", type=int, default=200, help="rendered for clutter")
    parser.add_argument("--photos", type=int, default=150, help="rendered for boxes")
    parser.add_argument("--trained", type=int, default=240, help="photos of each catalog")
    parser.add_argument("--seeds", type=int, default=3, help="of training, at least 2")
    parser.add_argument("--told-seeds", type=int, default=10, help="of halves that tell the other")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    network, renderer, found = Network(), Renderer(SIZE), dict[str, Any]()
    with open_progress() as progress:
        if "boxes" in options.parts:
            found |= measure_boxes(network, renderer, options.photos, progress)
        if {"tokens", "clutter"} & set(options.parts):
            real = real_catalogs(network, progress)
            cluttered, clean = rendered_catalogs(network, renderer, options.products, progress)
            if "tokens" in options.parts:
                found |= measure_tokens([*real, cluttered])
            if "clutter" in options.parts:
                found |= measure_clutter(cluttered, clean, real)
        if "cost" in options.parts:
            paths = sorted(EXAMPLE.rglob("*.webp"))[:TIMED]
            found |= measure_cost(network, list(map(open_picture, paths)))
    if "typos" in options.parts:
        found |= measure_typos()
    if "words" in options.parts:
        with open_progress() as progress:
            found |= measure_predicted_attributes(options.told_seeds, options.products, progress)
    renderer.close()
    if "training" in options.parts:
        with open_progress() as progress:
            found |= measure_training(options.trained, options.seeds, progress)
        found.pop("records")
    print(orjson.dumps(found).decode())


if __name__ == "__main__":
    main()
