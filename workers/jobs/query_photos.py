"""What a catalog folder is searched with: its photos, or made-up views of the products' pictures.

A catalog need not have shoppers' photos. Views, the ones that training learns from, then stand for
them: easier than photos, so the hit rates are a bound from above, but they tell one encoder, length
of vectors or reranker from another.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.catalog.folder import Catalog, Photo, read_catalog
from models.errors import CatalogError

MOST_VIEWS = 1000
VIEWS_NOTE = (
    "there are no photos: views of the products' own pictures are the queries. Photos are harder, "
    "so take the hit rates for a bound from above"
)


@dataclass(frozen=True)
class QueryPhotos:
    """A catalog, and photos to search it with; `note` says what they are if they are none."""

    catalog: Catalog
    photos: tuple[Photo, ...]
    note: str = ""
    views: Path | None = None
    """The folder of the photos that are views."""


@contextmanager
def query_photos(folder: Path, split: str) -> Iterator[QueryPhotos]:
    """The photos of a split that show a known product or kind; views where there are no photos.

    Raises:
        CatalogError: there are no products, or no such photos and no pictures.
    """
    catalog = read_catalog(folder)
    if not catalog.products:
        raise CatalogError(f"{folder} has no products.jsonl: there is nothing to search in")
    if catalog.photos:
        yield QueryPhotos(catalog, catalog.split(split))
        return
    with tempfile.TemporaryDirectory(prefix="lookstream-views-") as views:
        yield QueryPhotos(catalog, _write_views(catalog, Path(views)), VIEWS_NOTE, Path(views))


def _write_views(catalog: Catalog, folder: Path) -> tuple[Photo, ...]:
    """One view of the main picture of each product, at most `MOST_VIEWS` from all over the file."""
    # Here, since what makes views is of the extra `train`.
    from PIL import Image  # noqa: PLC0415

    from models.images.files import open_picture  # noqa: PLC0415
    from models.training.embedding.augmentation import random_view  # noqa: PLC0415

    shown = [one for one in catalog.products if one.image and "://" not in one.image]
    if not shown:
        raise CatalogError(
            f"{catalog.folder} has no photos and no pictures of its own to search with: write "
            "photos.jsonl, or save the products' pictures in the folder"
        )
    photos = []
    for number, product in enumerate(shown[:: -(-len(shown) // MOST_VIEWS)]):
        picture = open_picture(Path(catalog.locate(product.image or "")))
        seed = zlib.crc32(product.product_id.encode())
        path = folder / f"{number}.png"
        Image.fromarray(random_view(picture, np.random.default_rng(seed))).save(path)
        photos.append(
            Photo(image=str(path), product_id=product.product_id, category=product.category)
        )
    return tuple(photos)
