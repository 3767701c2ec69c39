"""Boxes against ground truth: of rendered photos, of scenes, and of real photos boxed by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import orjson

from benchmarks.juicing.pictures import Network
from models.arrays import Box
from models.images.files import open_picture
from models.images.letterbox import Picture
from models.juicer.objects import WHOLE, overlap, salient_objects
from models.synthetic.scene import Renderer
from models.training.juicer.pictures import rendered_photos
from tests.paths import ROOT, SHARED
from workers.progress.tasks import Progress

REAL = ROOT / "tests" / "models" / "juicer" / "real_boxes.json"
SIZE = 256
"""Pixels of a rendered picture's side."""

SEED = 7
"""No picture that the head was taught on is of this seed."""


@dataclass(frozen=True, eq=False)
class BoxedPicture:
    """A picture whose product's box is known."""

    group: str
    picture: Picture
    box: Box


def real_photos() -> list[BoxedPicture]:
    """Real photos with boxes by hand; none where their catalogs are not beside the checkout."""
    rows = orjson.loads(REAL.read_bytes())["photos"]
    return [
        BoxedPicture(row["catalog"], open_picture(path), tuple(row["box"]))
        for row in rows
        if (path := SHARED / row["catalog"] / row["file"]).is_file()
    ]


def synthetic_photos(renderer: Renderer, photos: int) -> list[BoxedPicture]:
    """Photos of rendered products, most with others around them."""
    return [
        BoxedPicture("synthetic", one.picture, one.boxes[0])
        for one in rendered_photos(renderer, SEED, range(photos))
    ]


def measure_boxes(
    network: Network, renderer: Renderer, photos: int, progress: Progress
) -> dict[str, object]:
    """Mean intersection over union of the surest box: the keys of boxes, and a table."""
    pictures = [*synthetic_photos(renderer, photos), *real_photos()]
    overlaps: dict[str, list[list[float]]] = {}
    with progress.task("boxes", len(pictures)) as task:
        for number, one in enumerate(pictures):
            features = network.see(one.picture).juiced
            grid = network.backbone.layout.grid
            by_rule = salient_objects(features.saliency, grid, features.frame)
            found = [
                _overlap(features.products.box, one.box),
                _overlap(by_rule.box, one.box),
                _overlap(WHOLE, one.box),
            ]
            overlaps.setdefault(one.group, []).append(found)
            task(number + 1)
    real = [row for group, rows in overlaps.items() if group != "synthetic" for row in rows]
    table = {
        group: dict(
            zip(("head", "saliency", "whole picture"), np.mean(rows, axis=0).round(4), strict=True)
        )
        for group, rows in overlaps.items()
    }
    return {
        "box_iou_synthetic": _mean(overlaps["synthetic"]),
        "box_iou_real": _mean(real) if real else None,
        "boxes": {group: {k: float(v) for k, v in row.items()} for group, row in table.items()},
    }


def _overlap(one: Box, other: Box) -> float:
    return float(overlap(one, np.array([other], np.float32))[0])


def _mean(rows: list[list[float]]) -> float:
    return round(float(np.mean(rows, axis=0)[0]), 4)
