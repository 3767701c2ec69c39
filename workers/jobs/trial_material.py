"""What encoders are tried with: pictures of a sample of a catalog, views of them, and photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.catalog.folder import Catalog, Photo, Product
from models.embedding.part_weights import Numbers
from models.errors import CatalogError
from models.images.letterbox import Picture
from models.images.views import catalog_view
from workers.errors import IntakeError
from workers.evidence.sample import SampledPicture
from workers.ingest.items import picture_digest
from workers.intake.fetch import Fetcher
from workers.progress.tasks import Progress

PICTURES_EACH = 3
"""Pictures of a product that are used."""
VIEWS = (0, 2)
"""Numbers of the views of each picture: mild ones, as catalogs are weighed by."""
MOST_PHOTOS = 500


@dataclass(frozen=True)
class Shown:
    """A picture of a product."""

    product: Product
    picture: SampledPicture


@dataclass(frozen=True)
class Material:
    """A sample of a catalog.

    Attributes:
        shown: its pictures, (n,).
        photos: shoppers' photos of its products or their categories, with their pixels.
    """

    shown: tuple[Shown, ...]
    photos: tuple[tuple[Photo, Picture], ...]

    @property
    def products(self) -> Numbers:
        """The number of the product that each picture shows, (n,)."""
        return _numbered([one.product.product_id for one in self.shown])

    @property
    def categories(self) -> Numbers:
        """The number of each picture's category, (n,); -1 where it has none."""
        return _numbered([one.product.category or None for one in self.shown])

    def view(self, at: int, number: int) -> Picture:
        """A view of a picture, always the same."""
        picture = self.shown[at].picture
        rng = np.random.default_rng([int(picture.digest[:16], 16), number])
        others = max(1, len(self.shown) - 1)
        other = self.shown[(at + 1 + int(rng.integers(others))) % len(self.shown)].picture
        return catalog_view(picture.pixels(), other.pixels(), number, rng)


async def gather_material(
    catalog: Catalog, split: str, most: int, fetcher: Fetcher, progress: Progress
) -> Material:
    """The pictures of at most ``most`` products from all over the catalog, and photos of them.

    Pictures that cannot be had are left out, with a note.

    Raises:
        CatalogError: no picture can be had; or there are photos, but none of this split.
        IntakeError: a photo cannot be had.
    """
    pictured = [one for one in catalog.products if one.image or one.images]
    chosen = pictured[:: -(-len(pictured) // most) or 1]
    if len(chosen) < len(pictured):
        progress.note(f"{len(chosen):,} of {len(pictured):,} products are used, from all over")
    shown: list[Shown] = []
    failed: list[str] = []
    for product in progress.track(chosen, "reading pictures", len(chosen)):
        for reference in _references(product):
            try:
                data = await fetcher.fetch(catalog.locate(reference))
                pixels = (await fetcher.decode(data)).picture
            except IntakeError as error:
                failed.append(f"{product.product_id}: {error}")
                continue
            digest = picture_digest(data, product.product_id)
            picture = SampledPicture.of(product.product_id, digest, pixels)
            if picture is not None:  # it is not too narrow
                shown.append(Shown(product, picture))
    if failed:
        progress.note(f"{len(failed):,} pictures cannot be had and are left out: {failed[0]}")
    if not shown:
        raise CatalogError(
            f"{catalog.folder} has no product with a picture that can be had, so there is nothing "
            f"to try encoders with{': ' + failed[0] if failed else ''}"
        )
    photos = _photos(catalog, split, [one.product for one in shown])
    pixels_of = []
    for photo in progress.track(photos, "reading photos", len(photos)):
        data = await fetcher.fetch(catalog.locate(photo.image))
        pixels_of.append((photo, (await fetcher.decode(data)).picture))
    return Material(tuple(shown), tuple(pixels_of))


def _references(product: Product) -> list[str]:
    main = [product.image] if product.image else []
    return list(dict.fromkeys([*main, *product.images]))[:PICTURES_EACH]


def _photos(catalog: Catalog, split: str, products: Sequence[Product]) -> list[Photo]:
    """Photos of a split that show one of these products, or one of their categories."""
    if not catalog.photos:
        return []
    ids = {product.product_id for product in products}
    kinds = {product.category for product in products if product.category}
    of_sample = [
        photo
        for photo in catalog.split(split)
        if (photo.product_id in ids if photo.product_id else photo.category in kinds)
    ]
    return of_sample[:: -(-len(of_sample) // MOST_PHOTOS) or 1]


def _numbered(values: Sequence[object]) -> Numbers:
    """Equal values as equal numbers, from 0; -1 for None."""
    numbers: dict[object, int] = {}
    return np.array(
        [-1 if one is None else numbers.setdefault(one, len(numbers)) for one in values], np.intp
    )
