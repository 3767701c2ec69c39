"""Validation: retrieval of products by photos of the validation split."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.catalog.folder import Catalog, Photo, Product
from models.embedding.layout import PartWeights
from models.evaluation.metrics import TOLERANCE, score_rankings
from models.progress import Progress, no_progress
from models.training.embedding.feature_cache import FeatureCache, Source
from models.training.embedding.run_state import TrainableEncoder

BATCH = 64
DEPTH = 10
MAX_PHOTOS = 500
IDENTITY_WEIGHTS = tuple(tenths / 10 for tenths in range(11))


@dataclass(frozen=True, eq=False)
class RetrievalTask:
    """Queries (photos) and documents (products) of one catalog, and their rows in a cache."""

    photos: tuple[Photo, ...]
    products: tuple[Product, ...]
    photo_rows: NDArray[np.int64]
    product_rows: NDArray[np.int64]


def known_photos(catalog: Catalog, split: str) -> list[Photo]:
    """Photos of a split, in files, that show a product of the catalog."""
    return [
        photo
        for photo in catalog.photos
        if photo.split == split
        and photo.product_id in catalog.by_id
        and catalog.local_path(photo.image) is not None
    ]


def documents(catalog: Catalog) -> list[Product]:
    """The products whose main picture is a file."""
    return [one for one in catalog.products if one.image and catalog.local_path(one.image)]


def collect_tasks(
    catalogs: Sequence[Catalog],
    split: str,
    limit: int = MAX_PHOTOS,
    without: Sequence[Collection[str]] = (),
) -> tuple[list[Source], list[RetrievalTask]]:
    """Retrieval tasks and their pictures, of all catalogs with photos of known products.

    At most ``limit`` photos per catalog, taken at even steps; none of the products ``without``, of
    each catalog, which are asked about elsewhere.
    """
    sources: list[Source] = []
    tasks: list[RetrievalTask] = []
    for number, catalog in enumerate(catalogs):
        absent = without[number] if without else ()
        photos = [one for one in known_photos(catalog, split) if one.product_id not in absent]
        photos = photos[:: max(1, -(-len(photos) // limit))]
        products = documents(catalog)
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
    cache: FeatureCache,
    tasks: Sequence[RetrievalTask],
    progress: Progress = no_progress,
) -> list[dict[str, float]]:
    """Hit rates of each task (0..1, with their average) by identity alone.

    ``progress`` is called with the pictures embedded and all of them.
    """
    encoded = zip(tasks, _encode_tasks(encoder, cache, tasks, progress), strict=True)
    return [_hit_rates(task, photos @ products.T) for task, (photos, products) in encoded]


def select_identity_weight(
    encoder: TrainableEncoder,
    cache: FeatureCache,
    tasks: Sequence[RetrievalTask],
    progress: Progress = no_progress,
) -> float:
    """The largest identity weight, 0..1 in tenths, with an average hit rate no worse than the best.

    ``progress`` as in `evaluate_tasks`.
    """
    averages = np.zeros(len(IDENTITY_WEIGHTS))
    encoded = _encode_tasks(encoder, cache, tasks, progress)
    for task, (photos, products) in zip(tasks, encoded, strict=True):
        by_identity = photos @ products.T
        by_appearance, by_colour = (
            part(task.photo_rows) @ part(task.product_rows).T
            for part in (cache.appearances, cache.colours)
        )
        for number, share in enumerate(IDENTITY_WEIGHTS):
            weights = PartWeights.with_identity(share)
            similarity = weights.identity * by_identity + weights.appearance * by_appearance
            similarity += weights.colour * by_colour
            averages[number] += _hit_rates(task, similarity)["average"]
    averages /= len(tasks)
    return IDENTITY_WEIGHTS[int(np.flatnonzero(averages >= averages.max() - TOLERANCE)[-1])]


def _encode_tasks(
    encoder: TrainableEncoder,
    cache: FeatureCache,
    tasks: Sequence[RetrievalTask],
    progress: Progress,
) -> Iterator[tuple[Floats, Floats]]:
    """Unit rows of each task's photos (n, d) and products (m, d)."""
    total = sum(len(task.photo_rows) + len(task.product_rows) for task in tasks)
    before = 0
    for task in tasks:
        encoded = []
        for rows in (task.photo_rows, task.product_rows):

            def count(done: int, _: int, before: int = before) -> None:
                progress(before + done, total)

            encoded.append(unit(encode_rows(encoder, cache, rows, count)))
            before += len(rows)
        yield encoded[0], encoded[1]


def _hit_rates(task: RetrievalTask, similarity: Floats) -> dict[str, float]:
    ranked = np.argsort(-similarity, axis=1, kind="stable")[:, :DEPTH]
    names = [product.product_id for product in task.products]
    lists = [tuple(names[place] for place in row) for row in ranked]
    return score_rankings(task.photos, task.products, lists)


@torch.inference_mode()
def encode_rows(
    encoder: TrainableEncoder,
    cache: FeatureCache,
    rows: NDArray[np.int64],
    progress: Progress = no_progress,
) -> Floats:
    """Vectors (n, d) of some rows of a cache, of any length, as the encoder is now.

    ``progress`` is called with (rows done, rows in all).
    """
    encoded = []
    for at in range(0, len(rows), BATCH):
        progress(at, len(rows))
        some = rows[at : at + BATCH]
        encoded.append(encoder.encode(cache.fetch(some)).float().cpu().numpy())
    progress(len(rows), len(rows))
    return np.concatenate(encoded)
