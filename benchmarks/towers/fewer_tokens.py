"""What a transformer gains and loses when its layers see fewer tokens, and with 8 bits beside.

Speed: presets at their true shapes with random weights, which variant does not matter to. Quality:
a small SigLIP with 64 patches, trained on rendered products, finds others by their captions, and by
their photos; each product is a picture and nothing else.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.towers.presets import ROUNDS, THREADS, make_folder
from benchmarks.towers.tiny_siglip import caption_of
from models.arrays import Floats, unit
from models.backbone.load import picture_graph
from models.backbone.preprocessing import Preprocessing
from models.backbone.tower import PictureTower, TextTower
from models.backbone.tower_export import export_towers
from models.backbone.tower_files import read_card
from models.catalog.folder import read_catalog
from models.hub.names import EVIT, TOME, Variant
from models.hub.presets import PRESETS
from models.images.files import open_picture
from workers.progress.tasks import Progress

VARIANTS = tuple(Variant(tokens, int8) for tokens in ("", EVIT, TOME) for int8 in (False, True))
TIMED = ("dinov2-small", "siglip2-base", "fashion-clip")
"""Transformers whose layers do not ask where a token lies."""


def measure_fewer_tokens(learned: Path, strangers: Path, bars: Progress) -> dict[str, Any]:
    """Keys of it.

    fewer_tokens_speed    of each preset and variant, ms a picture and the share of fp32's
    fewer_tokens_quality  of each variant of the trained network, points of R@1 and R@5 by captions
                          and of R@1 by photos that it loses, and the mean cosine to fp32's vectors

    Args:
        learned: the folder of the trained network.
        strangers: a synthetic catalog of products that it has not seen, with photos.
        bars: shows progress.
    """
    return {
        "fewer_tokens_speed": [
            row
            for name in bars.track(TIMED, "timing networks with fewer tokens", len(TIMED))
            for row in _speed(name)
        ],
        "fewer_tokens_quality": _quality(learned, strangers),
    }


def _speed(name: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as scratch:
        folder, exported = Path(scratch) / name, Path(scratch) / "exported"
        make_folder(PRESETS[name], folder)
        export_towers(folder, exported)
        size = read_card(exported).preprocessing.size
        picture = np.random.default_rng(0).standard_normal((3, size, size)).astype(np.float32)
        towers = [
            PictureTower(exported, THREADS, picture_graph(folder, exported, one).name)
            for one in VARIANTS
        ]
        # Taking turns, so that other load on the machine slows all; the least counts.
        took = [[_seconds(tower, picture) for tower in towers] for _ in range(ROUNDS)]
    least = np.min(took, axis=0)
    return [
        {
            "name": f"{name}{variant}",
            "ms": round(1000 * float(seconds), 1),
            "of_fp32": round(float(seconds / least[0]), 3),
        }
        for variant, seconds in zip(VARIANTS, least, strict=True)
    ]


def _seconds(tower: PictureTower, picture: Floats) -> float:
    began = time.perf_counter()
    tower.run(picture)
    return time.perf_counter() - began


def _quality(learned: Path, strangers: Path) -> list[dict[str, Any]]:
    catalog = read_catalog(strangers)
    products = [one for one in catalog.products if one.image]
    numbers = {one.product_id: number for number, one in enumerate(products)}
    photos = [one for one in catalog.photos if one.product_id in numbers]
    shown = [Path(catalog.locate(one.image or "")) for one in products]
    asked = [Path(catalog.locate(one.image)) for one in photos]
    wanted = np.array([numbers[one.product_id or ""] for one in photos])
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch) / "exported"
        export_towers(learned, exported)
        card = read_card(exported)
        assert card.text is not None
        words = TextTower(exported, card.text, THREADS)
        captions = unit(np.stack([words.embed(caption_of(one)) for one in products]))
        rows, first = [], None
        for variant in VARIANTS:
            graph = picture_graph(learned, exported, variant)
            tower = PictureTower(exported, THREADS, graph.name)
            items, queries = (_embed(tower, card.preprocessing, paths) for paths in (shown, asked))
            found = {
                "captions_r@1": _recall(captions @ items.T, np.arange(len(items)), 1),
                "captions_r@5": _recall(captions @ items.T, np.arange(len(items)), 5),
                "photos_r@1": _recall(queries @ items.T, wanted, 1),
            }
            first = first or (found, items)
            rows.append(
                {
                    "name": str(variant) or "fp32",
                    **{name: round(value, 4) for name, value in found.items()},
                    **{
                        f"{name}_lost": round(100 * (first[0][name] - value), 2)
                        for name, value in found.items()
                    },
                    "cosine": round(float((items * first[1]).sum(axis=1).mean()), 4),
                }
            )
    return rows


def _embed(tower: PictureTower, preprocessing: Preprocessing, paths: Sequence[Path]) -> Floats:
    rows = []
    for path in paths:
        canvas, _ = preprocessing.canvas(open_picture(path))
        rows.append(tower.run(preprocessing.normalise(canvas)).embedding)
    return unit(np.stack(rows))


def _recall(similarity: Floats, wanted: Any, depth: int) -> float:
    own = similarity[np.arange(len(wanted)), wanted]
    return float(((similarity > own[:, None]).sum(axis=1) < depth).mean())
