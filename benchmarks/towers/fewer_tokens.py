"""What a transformer gains and loses when its layers see fewer tokens, and with 8 bits beside.

Speed: presets at their true shapes with random weights, which speed does not depend on. Quality: a
small SigLIP with 64 patches, trained on rendered products, finds others by their captions and by
their photos; to keep patches at random is beside it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.towers.presets import ROUNDS, THREADS, make_folder
from benchmarks.towers.tiny_siglip import caption_of
from models.arrays import Floats, unit
from models.backbone.load import picture_graph
from models.backbone.preprocessing import Preprocessing
from models.backbone.token_reduction import TokenReduction, reduce_tokens
from models.backbone.tower import PictureTower, TextTower
from models.backbone.tower_export import export_towers
from models.backbone.tower_files import read_card, read_preprocessing
from models.backbone.tower_network import load_towers
from models.catalog.folder import read_catalog
from models.hub.names import EVIT, TOME, Variant
from models.hub.presets import PRESETS
from models.images.files import open_picture
from workers.progress.tasks import Progress

VARIANTS = tuple(Variant(tokens, int8) for tokens in ("", EVIT, TOME) for int8 in (False, True))
TIMED = ("dinov2-small", "siglip2-base", "fashion-clip")
"""Transformers whose layers do not ask where a token lies."""

RANKS, BATCH = (1, 5), 64


def measure_fewer_tokens(learned: Path, strangers: Path, bars: Progress) -> dict[str, Any]:
    """Keys of it.

    fewer_tokens_speed    of each preset and variant, ms a picture and the share of fp32's
    fewer_tokens_quality  of the trained network with each share of patches: R@1 and R@5 of products
                          by captions and by photos, and the mean cosine to vectors of all patches

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


class AtRandom(TokenReduction):
    """Which patches are kept is drawn."""

    def attention(self, tokens: Tensor) -> Tensor:
        """Drawn numbers, 0..1."""
        return torch.rand(tokens.shape[:2], generator=torch.Generator().manual_seed(0))


REDUCTIONS = (
    ("all patches", "", 1.0, TokenReduction),
    *((f"evit {share}", EVIT, share, TokenReduction) for share in (0.9, 0.7, 0.5)),
    *((f"random {share}", EVIT, share, AtRandom) for share in (0.9, 0.7, 0.5)),
    *((f"tome {share}", TOME, share, TokenReduction) for share in (0.3, 0.5, 0.7)),
)
"""Of pruning the share that is kept at each place, of merging the one that goes in all."""


def _quality(learned: Path, strangers: Path) -> list[dict[str, Any]]:
    catalog = read_catalog(strangers)
    products = [one for one in catalog.products if one.image]
    numbers = {one.product_id: number for number, one in enumerate(products)}
    photos = [one for one in catalog.photos if one.product_id in numbers]
    preprocessing = read_preprocessing(learned)
    shown, asked = (
        np.stack([_prepared(Path(catalog.locate(one.image or "")), preprocessing) for one in rows])
        for rows in (products, photos)
    )
    wanted = np.array([numbers[one.product_id or ""] for one in photos])
    captions = _captions(learned, [caption_of(one) for one in products])
    rows: list[dict[str, Any]] = []
    whole: Floats | None = None
    for name, method, share, kind in REDUCTIONS:
        network: Any = load_towers(learned, preprocessing.size)[0]
        if method:
            vision = network.model.vision_model
            network.reduction = reduce_tokens(vision, network.patches, method, share, kind)
        items, queries = (_embed(network, pictures) for pictures in (shown, asked))
        whole = items if whole is None else whole
        by_words, by_photos = captions @ items.T, queries @ items.T
        rows.append(
            {
                "name": name,
                **{f"captions_r@{k}": _recall(by_words, np.arange(len(items)), k) for k in RANKS},
                **{f"photos_r@{k}": _recall(by_photos, wanted, k) for k in RANKS},
                "cosine": round(float((items * whole).sum(axis=1).mean()), 4),
            }
        )
    return rows


def _captions(learned: Path, texts: Sequence[str]) -> Floats:
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch) / "exported"
        export_towers(learned, exported)
        card = read_card(exported)
        assert card.text is not None
        words = TextTower(exported, card.text, THREADS)
        return unit(np.stack([words.embed(text) for text in texts]))


def _prepared(path: Path, preprocessing: Preprocessing) -> Floats:
    canvas, _ = preprocessing.canvas(open_picture(path))
    return preprocessing.normalise(canvas)


def _embed(network: Any, pictures: Floats) -> Floats:
    with torch.inference_mode():
        rows = [
            network(torch.from_numpy(pictures[start : start + BATCH]))[1].numpy()
            for start in range(0, len(pictures), BATCH)
        ]
    return unit(np.concatenate(rows))


def _recall(similarity: Floats, wanted: Any, depth: int) -> float:
    own = similarity[np.arange(len(wanted)), wanted]
    return round(float(((similarity > own[:, None]).sum(axis=1) < depth).mean()), 4)
