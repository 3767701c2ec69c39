"""A catalog as a retrieval task by pictures alone, and as one of those that others learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.unseen.features import Rows, Source
from models.catalog.folder import Catalog, Photo, Product, read_catalog
from models.embedding.part_weights import Numbers
from models.errors import CatalogError
from models.evaluation.metrics import Levels, relevance

T = TypeVar("T")

VIEWS = 4
"""Of each item, as `lookstream adapt` makes them; those with even numbers are mild."""

TRAIN_PHOTOS_PER_ITEM = 11
"""Of a catalog without products, so many photos of the training split stand for one item."""

GALLERY_SPLIT, TRAINING_SPLIT, TEST_SPLIT = "val", "train", "test"


@dataclass(frozen=True)
class Limits:
    """How much of each catalog is used, taken at even steps.

    Attributes:
        queries: at most.
        learned_from: pictures that maps of the other catalogs are fitted on, at most.
        witnesses: items that say how their catalog is to be searched, at most.
    """

    queries: int = 600
    learned_from: int = 1000
    witnesses: int = 1000


@dataclass(frozen=True, eq=False)
class CatalogTask:
    """Items, queries and what is known of them; pictures are row numbers of ``sources``.

    Attributes:
        catalog: the folder.
        seen: whether the identity was trained on this catalog.
        sources: all pictures, each once.
        items: (n,).
        witnesses: numbers of the items that have views, (w,).
        views: of these, `VIEWS` of the first, then of the second, (w * VIEWS,).
        queries: photos, (q,); none where the catalog has none: others learn from it all the same.
        learned_from: pictures that maps of other catalogs are fitted on.
        categories: the number of each item's category, -1 without one, (n,).
        levels: relevance, (q, n).
        asked: the number of the item that each query shows, or of the query, (q,): what is drawn
            together when intervals are estimated.
    """

    catalog: Catalog
    seen: bool
    sources: tuple[Source, ...]
    items: Rows
    witnesses: Rows
    views: Rows
    queries: Rows
    learned_from: Rows
    categories: Numbers
    levels: Levels
    asked: Numbers

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.catalog.folder.resolve().name

    @property
    def has_products(self) -> bool:
        """Whether queries show products; else only kinds are known."""
        return bool(self.catalog.products)

    @property
    def shown(self) -> Rows:
        """The witness that each view shows, (w * VIEWS,)."""
        return np.repeat(np.arange(len(self.witnesses)), VIEWS)


def read_task(folder: Path, trained_on: Sequence[str], limits: Limits) -> CatalogTask:
    """Read a catalog folder.

    Queries are the photos of its products. All of them; but only those of the test split where the
    identity was trained on the catalog, which ``trained_on`` names. Without products they are the
    photos of the test split, and items those of val and some of the training split.

    Raises:
        CatalogError: the folder cannot be read, or has no picture to search for.
    """
    catalog = read_catalog(folder)
    seen = folder.resolve().name in trained_on
    products = [one for one in catalog.products if one.image and catalog.local_path(one.image)]
    photos = [one for one in catalog.photos if catalog.local_path(one.image)]
    training = [one for one in photos if one.split == TRAINING_SPLIT]
    items: list[Product] | list[Photo]
    if products:
        items = products
        names = {product.product_id for product in products}
        queries = [
            one
            for one in photos
            if one.product_id in names and (not seen or one.split == TEST_SPLIT)
        ]
    else:
        items = [one for one in photos if one.split == GALLERY_SPLIT]
        items += training[::TRAIN_PHOTOS_PER_ITEM]
        queries = [one for one in photos if one.split == TEST_SPLIT]
    if not items:
        raise CatalogError(
            f"{folder} has nothing to search for: it needs products with local pictures, or photos "
            f"of the splits {GALLERY_SPLIT}, {TRAINING_SPLIT} and {TEST_SPLIT}"
        )
    queries = at_even_steps(queries, limits.queries)
    numbers = {product.product_id: number for number, product in enumerate(products)}
    witnesses = at_even_steps(range(len(items)), limits.witnesses) if queries else []
    pictures = _Pictures(catalog)
    return CatalogTask(
        catalog,
        seen,
        items=pictures.rows(items),
        witnesses=np.array(witnesses, np.intp),
        views=pictures.views([items[one] for one in witnesses]),
        queries=pictures.rows(queries),
        learned_from=pictures.rows(at_even_steps([*products, *training], limits.learned_from)),
        categories=_categories(items),
        levels=relevance(queries, items),
        asked=np.array(
            [numbers.get(one.product_id or "", at) for at, one in enumerate(queries)], np.intp
        ),
        sources=pictures.sources,
    )


def at_even_steps(rows: Sequence[T], most: int) -> list[T]:
    """At most so many of the rows, evenly spread."""
    if len(rows) <= most:
        return list(rows)
    return [rows[at] for at in np.linspace(0, len(rows) - 1, most).round().astype(int)]


class _Pictures:
    """Numbers the pictures of a catalog, each once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._rows: dict[Source, int] = {}

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(self._rows)

    def rows(self, shown: Sequence[Product | Photo]) -> Rows:
        return self._numbers([Source(path) for path in self._paths(shown)])

    def views(self, shown: Sequence[Product | Photo]) -> Rows:
        paths = self._paths(shown)
        others = np.random.default_rng(0).integers(len(paths), size=(len(paths), VIEWS))
        return self._numbers(
            [
                Source(path, view, paths[other])
                for path, row in zip(paths, others.tolist(), strict=True)
                for view, other in enumerate(row)
            ]
        )

    def _paths(self, shown: Sequence[Product | Photo]) -> list[str]:
        return [self._catalog.locate(one.image or "") for one in shown]

    def _numbers(self, sources: Sequence[Source]) -> Rows:
        return np.array([self._rows.setdefault(one, len(self._rows)) for one in sources], np.intp)


def _categories(items: Sequence[Product | Photo]) -> Numbers:
    numbers: dict[tuple[str, ...], int] = {}
    return np.array(
        [numbers.setdefault(one.category, len(numbers)) if one.category else -1 for one in items],
        np.intp,
    )
