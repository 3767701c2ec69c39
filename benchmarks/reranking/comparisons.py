"""A catalog folder as comparisons: its items, and queries whose product is known.

Queries are the photos of the folder's products, and views of the products' own pictures, which
every catalog has. Items without photos or titles are compared all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.reranking.encoded_pictures import Source, encode_sources
from models.catalog.folder import Photo, Product, read_catalog
from models.embedding.protocol import CatalogEncoder, Encoded
from models.errors import CatalogError
from models.evaluation.metrics import Levels, relevance
from models.progress import Progress, no_progress

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Comparisons:
    """A catalog's items and queries, encoded.

    Attributes:
        name: of the catalog.
        items: with their texts, (n).
        titles, texts: of the items; "" or None where there is none.
        queries: pictures, encoded as items without text, (q).
        products: the item that each query shows, (q,).
        splits: of each query's photo, "view" for a view.
        levels: of each item for each query, (q, n).
        categories: of the items.
    """

    name: str
    items: tuple[Encoded, ...]
    titles: tuple[str, ...]
    texts: tuple[str | None, ...]
    queries: tuple[Encoded, ...]
    products: NDArray[np.intp]
    splits: tuple[str, ...]
    levels: Levels
    categories: tuple[tuple[str, ...], ...]


def read_comparisons(
    encoder: CatalogEncoder,
    folder: Path,
    *,
    photos: int,
    views: int,
    many: int,
    cache: Path | None = None,
    progress: Progress = no_progress,
) -> Comparisons:
    """Encode a catalog folder.

    Args:
        photos: at most so many of each split, taken at even steps.
        views: of each product's picture.
        many: from so many products on there is one view of each.
        cache: folder that what was encoded is kept in.

    Raises:
        CatalogError, PictureError: the folder or a picture cannot be read.
    """
    catalog = read_catalog(folder)
    products = [one for one in catalog.products if one.image and catalog.local_path(one.image)]
    views = views if len(products) < many else 1
    if not products:
        raise CatalogError(f"{folder} has no products with pictures that are here")
    at = {one.product_id: number for number, one in enumerate(products)}
    asked: list[Photo] = []
    for split in dict.fromkeys(one.split for one in catalog.photos):
        known = [
            one
            for one in catalog.photos
            if one.split == split and one.product_id in at and catalog.local_path(one.image)
        ]
        asked += at_even_steps(known, photos)
    paths = [catalog.locate(one.image or "") for one in products]
    others = np.random.default_rng(0).integers(len(paths), size=(len(paths), views))
    sources = [Source(path) for path in paths]
    sources += [Source(catalog.locate(one.image)) for one in asked]
    sources += [
        Source(path, view, paths[other])
        for path, row in zip(paths, others.tolist(), strict=True)
        for view, other in enumerate(row)
    ]
    encoded = encode_sources(encoder, sources, cache, progress)
    pictures, queries = encoded[: len(products)], encoded[len(products) :]
    shown: list[Photo | Product] = [*asked, *(one for one in products for _ in range(views))]
    return Comparisons(
        name=folder.resolve().name,
        items=tuple(
            encoder.encode_items(
                pictures, [one.text for one in products], [one.category for one in products]
            )
        ),
        titles=tuple(one.title for one in products),
        texts=tuple(one.text for one in products),
        queries=tuple(queries),
        products=np.array([at[one.product_id or ""] for one in shown], np.intp),
        splits=(*(one.split or "" for one in asked), *["view"] * (views * len(products))),
        levels=relevance(shown, products),
        categories=tuple(one.category for one in products),
    )


def exchanged(
    encoder: CatalogEncoder, found: Comparisons, allowed: NDArray[np.intp], seed: int
) -> tuple[Comparisons, NDArray[np.intp]]:
    """The catalog with a photo of each product in place of its picture, where it has several.

    Half of the products with one photo get that. It is another catalog to learn from: photos asked
    of photos.

    Args:
        allowed: numbers of the queries that may become pictures.

    Returns:
        The catalog, and the numbers of queries that ask of it: those allowed that it does not show.
    """
    rng = np.random.default_rng(seed)
    items, taken = list(found.items), []
    for product in np.unique(found.products[allowed]).tolist():
        photos = allowed[found.products[allowed] == product]
        if len(photos) == 1 and rng.random() < 0.5:
            continue
        number = int(rng.choice(photos))
        taken.append(number)
        (items[product],) = encoder.encode_items(
            [found.queries[number]], [found.texts[product]], [found.categories[product]]
        )
    return replace(found, items=tuple(items)), np.setdiff1d(allowed, taken)


def at_even_steps(rows: Sequence[T], most: int) -> list[T]:
    """At most so many of the rows, evenly spread."""
    if len(rows) <= most:
        return list(rows)
    return [rows[at] for at in np.linspace(0, len(rows) - 1, most).round().astype(int)]
