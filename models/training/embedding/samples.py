"""The training pictures, and the identity that each of them shows.

A product's packshots and its photos of the training split are of one identity. A photo of no known
product has an identity of its own: fine-grained identities generalise (91 coarse ones made results
on a held-out catalog worse than no training).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.catalog.folder import Catalog, Product
from models.errors import TrainingError
from models.training.embedding.feature_cache import Source

DEFAULT_VIEWS = (16, 4)
"""Views of a packshot and of a photo, the unaugmented one among them."""

MAX_DRAWS, PHOTOS_PER_DRAW = 8, 4
"""A photo is drawn once per pass over all pictures; a packshot once for every four photos of its
product, and eight times at most or where there are none."""


@dataclass(frozen=True, eq=False)
class TrainingPictures:
    """Pictures to train on.

    Attributes:
        sources: the files, and how many views each gets.
        ids: each source's identity, (sources,), numbered from 0 without gaps.
        catalogs: the number of the catalog that each source is from, (sources,).
        is_packshot: whether it is the product's own picture and not a photo, (sources,).
        concepts: the number of each identity's concept, (identities,): its catalog's leaf category;
            an identity without one is a concept of its own.
    """

    sources: tuple[Source, ...]
    ids: NDArray[np.int64]
    catalogs: NDArray[np.int64]
    is_packshot: NDArray[np.bool_]
    concepts: NDArray[np.int64]

    @property
    def identities(self) -> int:
        """How many IDs there are."""
        return int(self.ids.max()) + 1

    @property
    def draws(self) -> NDArray[np.int64]:
        """How often each source is drawn per pass, (sources,)."""
        photos = np.bincount(self.ids[~self.is_packshot], minlength=self.identities)[self.ids]
        own = np.where(photos, np.clip(photos // PHOTOS_PER_DRAW, 1, MAX_DRAWS), MAX_DRAWS)
        return np.where(self.is_packshot, own, 1)

    def select(self, chosen: NDArray[np.int64]) -> TrainingPictures:
        """Some of the sources, by their numbers; identities are numbered anew."""
        kept, ids = np.unique(self.ids[chosen], return_inverse=True)
        return TrainingPictures(
            tuple(self.sources[one] for one in chosen),
            ids.astype(np.int64),
            self.catalogs[chosen],
            self.is_packshot[chosen],
            self.concepts[kept],
        )


Clusters = Mapping[str, str]
"""The product of each picture after curation, by the picture's reference in the catalog."""


def collect_pictures(
    catalogs: Sequence[Catalog],
    split: str = "train",
    limit: int | None = None,
    clusters: Sequence[Clusters] = (),
    views: tuple[int, int] = DEFAULT_VIEWS,
    held_out: Sequence[Collection[str]] = (),
) -> TrainingPictures:
    """All local packshots of the products and photos of one split.

    A product that is only shown by photos of other splits is left out: it is held out.

    Args:
        catalogs: what to train on.
        split: of the photos.
        limit: keeps about so many sources per catalog, taken at even steps.
        clusters: of each catalog, in their order; a picture in no cluster is then left out. Without
            clusters the catalogs' own ids are the labels.
        views: of a packshot and of a photo.
        held_out: of each catalog, the products that are not learned from, nor any picture of them.

    Raises:
        TrainingError: fewer than two identities.
    """
    sources: list[Source] = []
    names: list[tuple[int, str]] = []
    categories: list[tuple[str, ...]] = []
    is_packshot: list[bool] = []
    if clusters and len(clusters) != len(catalogs):
        raise TrainingError(f"{len(clusters)} files of clusters for {len(catalogs)} catalogs")
    for number, catalog in enumerate(catalogs):
        absent = {f"product {name}" for name in held_out[number]} if held_out else set()
        found = [one for one in _pictures(catalog, split) if one[1] not in absent]
        if clusters:
            found = list(_relabel(catalog, found, clusters[number]))
            found = [one for one in found if one[1] not in absent]
        for reference, name, category, packshot in found[
            :: -(-len(found) // limit) if limit else 1
        ]:
            path = str(Path(catalog.locate(reference)))
            sources.append(Source(path, views[0] if packshot else views[1]))
            names.append((number, name))
            categories.append(category)
            is_packshot.append(packshot)
    _, first, ids = np.unique(
        [f"{number}/{name}" for number, name in names], return_index=True, return_inverse=True
    )
    concepts = [(names[one][0], *(categories[one] or names[one][1:])) for one in first]
    numbers = {concept: number for number, concept in enumerate(dict.fromkeys(concepts))}
    if len(set(names)) < 2:
        folders = ", ".join(str(catalog.folder) for catalog in catalogs)
        raise TrainingError(f"{folders}: there are fewer than two products or photos to tell apart")
    return TrainingPictures(
        tuple(sources),
        ids.astype(np.int64),
        np.array([number for number, _ in names], np.int64),
        np.array(is_packshot, np.bool_),
        np.array([numbers[concept] for concept in concepts], np.int64),
    )


def training_products(catalog: Catalog, split: str) -> list[Product]:
    """The products that are not held out: those with a photo of the split, or with none at all."""
    elsewhere = {photo.product_id for photo in catalog.photos if photo.split != split}
    here = {photo.product_id for photo in catalog.photos if photo.split == split}
    return [one for one in catalog.products if one.product_id not in elsewhere - here]


Found = tuple[str, str, tuple[str, ...], bool]
"""Reference, identity, category path, and whether it is a packshot."""


def _pictures(catalog: Catalog, split: str) -> Iterator[Found]:
    for product in training_products(catalog, split):
        references = [product.image] if product.image else []
        for reference in dict.fromkeys([*references, *product.images]):
            if catalog.local_path(reference) is not None:
                yield reference, f"product {product.product_id}", product.category, True
    for photo in catalog.photos:
        if photo.split == split and catalog.local_path(photo.image) is not None:
            name = f"product {photo.product_id}" if photo.product_id else f"photo {photo.image}"
            known = catalog.by_id.get(photo.product_id or "")
            yield photo.image, name, known.category if known else photo.category, False


def _relabel(catalog: Catalog, found: Sequence[Found], clusters: Clusters) -> Iterator[Found]:
    """The pictures that curation kept, with its labels."""
    for reference, _, _, packshot in found:
        if reference in clusters:
            product = catalog.by_id.get(clusters[reference])
            category = product.category if product else ()
            yield reference, f"product {clusters[reference]}", category, packshot
