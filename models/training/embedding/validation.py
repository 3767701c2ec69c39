"""How well an encoder under training finds products by photos of the validation split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.catalog.folder import Catalog, Photo, Product
from models.evaluation.metrics import TOLERANCE, score_rankings
from models.progress import Progress, no_progress
from models.training.embedding.feature_cache import Source, ViewStore
from models.training.embedding.run_state import TrainableEncoder

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


def evaluate_tasks(
    encoder: TrainableEncoder,
    store: ViewStore,
    tasks: Sequence[RetrievalTask],
    progress: Progress = no_progress,
) -> list[dict[str, float]]:
    """Hit rates of each exam (0..1, with their average) by identity alone.

    ``progress`` is called with the pictures embedded and all of them.
    """
    made = _task_vectors(encoder, store, tasks, progress)
    return [_rates(task, asked @ shown.T) for task, (asked, shown) in zip(tasks, made, strict=True)]


def best_identity_weight(
    encoder: TrainableEncoder,
    store: ViewStore,
    tasks: Sequence[RetrievalTask],
    progress: Progress = no_progress,
) -> float:
    """The largest share of identity against look, 0..1 in tenths, that exams go no worse by than by
    the best. ``progress`` as in `evaluate_tasks`."""
    found = np.zeros(len(SHARES))
    made = _task_vectors(encoder, store, tasks, progress)
    for task, (asked, shown) in zip(tasks, made, strict=True):
        by_identity = asked @ shown.T
        asked_look, shown_look = (
            store.appearances(some) for some in (task.photo_rows, task.product_rows)
        )
        by_look = asked_look @ shown_look.T
        mixed = [share * by_identity + (1 - share) * by_look for share in SHARES]
        found += [_rates(task, similarity)["average"] for similarity in mixed]
    found /= len(tasks)
    return SHARES[int(np.flatnonzero(found >= found.max() - TOLERANCE)[-1])]


def _task_vectors(
    encoder: TrainableEncoder, store: ViewStore, tasks: Sequence[RetrievalTask], progress: Progress
) -> Iterator[tuple[Floats, Floats]]:
    """Unit rows of each exam's photos (n, d) and products (m, d)."""
    total = sum(len(task.photo_rows) + len(task.product_rows) for task in tasks)
    before = 0
    for task in tasks:
        made = []
        for rows in (task.photo_rows, task.product_rows):

            def count(done: int, _: int, before: int = before) -> None:
                progress(before + done, total)

            made.append(unit(vectors(encoder, store, rows, count)))
            before += len(rows)
        yield made[0], made[1]


def _rates(task: RetrievalTask, similarity: Floats) -> dict[str, float]:
    ranked = np.argsort(-similarity, axis=1, kind="stable")[:, :DEPTH]
    names = [product.product_id for product in task.products]
    lists = [tuple(names[place] for place in row) for row in ranked]
    return score_rankings(task.photos, task.products, lists)


@torch.inference_mode()
def vectors(
    encoder: TrainableEncoder,
    store: ViewStore,
    rows: NDArray[np.int64],
    progress: Progress = no_progress,
) -> Floats:
    """Vectors (n, d) of some rows of a store, of any length, as the encoder is now.

    ``progress`` is called with (rows done, rows in all).
    """
    made = []
    for at in range(0, len(rows), BATCH):
        progress(at, len(rows))
        some = rows[at : at + BATCH]
        made.append(encoder.encode(store.fetch(some)).float().cpu().numpy())
    progress(len(rows), len(rows))
    return np.concatenate(made)
