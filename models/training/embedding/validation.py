"""How well an encoder under training finds products by photos of the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.catalog.folder import Catalog, Photo, Product
from models.evaluation.metrics import NO_WORSE, score_rankings
from models.training.embedding.feature_cache import Source, ViewStore
from models.training.embedding.run_state import Encoder

BATCH = 64
DEPTH = 10
SHARES = tuple(tenths / 10 for tenths in range(11))


@dataclass(frozen=True, eq=False)
class RetrievalTask:
    """Photos to ask with and products to find, of one catalog, and their rows in a store."""

    photos: tuple[Photo, ...]
    products: tuple[Product, ...]
    photo_rows: NDArray[np.int64]
    product_rows: NDArray[np.int64]


def task_sources(
    catalogs: Sequence[Catalog], split: str, limit: int = 500
) -> tuple[list[Source], list[RetrievalTask]]:
    """The clean pictures of exams over all catalogs that have photos of known products.

    At most ``limit`` photos per catalog, taken at even steps. Other catalogs have no exam.
    """
    sources: list[Source] = []
    tasks: list[RetrievalTask] = []
    for catalog in catalogs:
        photos = [
            photo
            for photo in catalog.photos
            if photo.split == split and photo.product_id in catalog.by_id
        ]
        photos = photos[:: max(1, -(-len(photos) // limit))]
        products = [product for product in catalog.products if product.image]
        if not photos or len(products) < 2:
            continue
        first = len(sources)
        sources += [Source(catalog.locate(photo.image), 1) for photo in photos]
        sources += [Source(catalog.locate(product.image or ""), 1) for product in products]
        middle = first + len(photos)
        tasks.append(
            RetrievalTask(
                tuple(photos),
                tuple(products),
                np.arange(first, middle),
                np.arange(middle, len(sources)),
            )
        )
    return sources, tasks


def evaluate_task(
    encoder: Encoder, store: ViewStore, task: RetrievalTask, width: int | None = None
) -> dict[str, float]:
    """Hit rates (0..1, with their average) by identity alone; of a prefix with ``width``."""
    photos = vectors(encoder, store, task.photo_rows)[:, :width]
    products = vectors(encoder, store, task.product_rows)[:, :width]
    return _rates(task, unit(photos) @ unit(products).T)


def best_identity_weight(
    encoder: Encoder, store: ViewStore, tasks: Sequence[RetrievalTask]
) -> float:
    """The largest share of identity against look, 0..1 in tenths, that exams go no worse by than by
    the best."""
    found = np.zeros(len(SHARES))
    for task in tasks:
        rows = task.photo_rows, task.product_rows
        asked, shown = (unit(vectors(encoder, store, some)) for some in rows)
        by_identity = asked @ shown.T
        asked, shown = (store.appearances(some) for some in rows)
        by_look = asked @ shown.T
        mixed = [share * by_identity + (1 - share) * by_look for share in SHARES]
        found += [_rates(task, similarity)["average"] for similarity in mixed]
    found /= len(tasks)
    return SHARES[int(np.flatnonzero(found >= found.max() - NO_WORSE)[-1])]


def _rates(task: RetrievalTask, similarity: Floats) -> dict[str, float]:
    ranked = np.argsort(-similarity, axis=1, kind="stable")[:, :DEPTH]
    names = [product.product_id for product in task.products]
    lists = [tuple(names[place] for place in row) for row in ranked]
    return score_rankings(task.photos, task.products, lists)


@torch.inference_mode()
def vectors(encoder: Encoder, store: ViewStore, rows: NDArray[np.int64]) -> Floats:
    """Vectors (n, d) of some rows of a store, of any length, as the encoder is now."""
    made = [
        encoder.encode(store.fetch(rows[at : at + BATCH])).float().cpu().numpy()
        for at in range(0, len(rows), BATCH)
    ]
    return np.concatenate(made)
