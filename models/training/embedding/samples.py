"""Which pictures an encoder learns from, and whose identity each of them shows.

A product's pictures and its photos of the training split show one identity. A photo of no known
product has an identity of its own: granular identities keep an encoder general (91 coarse ones made
it worse than none on a catalog it had not seen).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.catalog.folder import Catalog, Product
from models.errors import TrainingError
from models.training.embedding.feature_cache import Source

USUAL_VIEWS = (16, 4)
"""Views of a product's picture and of a photo, the clean one among them."""

MOST_DRAWS, DRAWN_AS = 8, 4
"""A photo is drawn once per pass over all pictures; a product's picture once for every four photos
of the product, and eight times at most or where it has none."""


@dataclass(frozen=True, eq=False)
class TrainingPictures:
    """Pictures to learn from.

    Attributes:
        sources: the files, and how many views each gets.
        ids: each source's identity, (sources,), numbered from 0 without gaps.
        catalogs: the number of the catalog that each source is from, (sources,).
        own: whether it is the product's own picture and not a photo, (sources,).
        concepts: the number of each identity's concept, (identities,): its catalog's leaf category;
            an identity without one is a concept of its own.
    """

    sources: tuple[Source, ...]
    ids: NDArray[np.int64]
    catalogs: NDArray[np.int64]
    own: NDArray[np.bool_]
    concepts: NDArray[np.int64]

    @property
    def identities(self) -> int:
        """How many IDs there are."""
        return int(self.ids.max()) + 1

    @property
    def draws(self) -> NDArray[np.int64]:
        """How often each source is drawn per pass, (sources,)."""
        photos = np.bincount(self.ids[~self.own], minlength=self.identities)[self.ids]
        own = np.where(photos, np.clip(photos // DRAWN_AS, 1, MOST_DRAWS), MOST_DRAWS)
        return np.where(self.own, own, 1)

    def only(self, chosen: NDArray[np.int64]) -> TrainingPictures:
        """Some of the sources, by their numbers; identities are numbered anew."""
        kept, ids = np.unique(self.ids[chosen], return_inverse=True)
        return TrainingPictures(
            tuple(self.sources[one] for one in chosen),
            ids.astype(np.int64),
            self.catalogs[chosen],
            self.own[chosen],
            self.concepts[kept],
        )


Clusters = Mapping[str, str]
"""The product that each picture shows after curation, by the picture's reference in the catalog."""


def training_pictures(
    catalogs: Sequence[Catalog],
    split: str = "train",
    limit: int | None = None,
    clusters: Sequence[Clusters] = (),
    views: tuple[int, int] = USUAL_VIEWS,
) -> TrainingPictures:
    """All local pictures of the products and of one split's photos.

    A product that is only shown by photos of other splits is left out: it is there to be unseen.

    Args:
        catalogs: what to learn from.
        split: of the photos.
        limit: keeps about so many sources per catalog, taken at even steps.
        clusters: of each catalog, in their order; a picture in no cluster is then left out. Without
            clusters the catalogs' own ids count.
        views: of a product's picture and of a photo.

    Raises:
        TrainingError: fewer than two identities.
    """
    sources: list[Source] = []
    names: list[tuple[int, str]] = []
    kinds: list[tuple[str, ...]] = []
    owned: list[bool] = []
    if clusters and len(clusters) != len(catalogs):
        raise TrainingError(f"{len(clusters)} files of clusters for {len(catalogs)} catalogs")
    for number, catalog in enumerate(catalogs):
        found = list(_pictures(catalog, split))
        if clusters:
            found = list(_purified(catalog, found, clusters[number]))
        for reference, name, kind, own in found[:: -(-len(found) // limit) if limit else 1]:
            path = str(Path(catalog.locate(reference)))
            sources.append(Source(path, views[0] if own else views[1]))
            names.append((number, name))
            kinds.append(kind)
            owned.append(own)
    _, first, ids = np.unique(
        [f"{number}/{name}" for number, name in names], return_index=True, return_inverse=True
    )
    concepts = [(names[one][0], *(kinds[one] or names[one][1:])) for one in first]
    numbers = {concept: number for number, concept in enumerate(dict.fromkeys(concepts))}
    if len(set(names)) < 2:
        folders = ", ".join(str(catalog.folder) for catalog in catalogs)
        raise TrainingError(f"{folders}: there are fewer than two products or photos to tell apart")
    return TrainingPictures(
        tuple(sources),
        ids.astype(np.int64),
        np.array([number for number, _ in names], np.int64),
        np.array(owned, np.bool_),
        np.array([numbers[concept] for concept in concepts], np.int64),
    )


def seen_products(catalog: Catalog, split: str) -> list[Product]:
    """The products that training may see: those with a photo of the split, or with none at all."""
    elsewhere = {photo.product_id for photo in catalog.photos if photo.split != split}
    here = {photo.product_id for photo in catalog.photos if photo.split == split}
    return [one for one in catalog.products if one.product_id not in elsewhere - here]


Found = tuple[str, str, tuple[str, ...], bool]
"""Reference, identity, category path, and whether it is the product's own picture."""


def _pictures(catalog: Catalog, split: str) -> Iterator[Found]:
    for product in seen_products(catalog, split):
        references = [product.image] if product.image else []
        for reference in dict.fromkeys([*references, *product.images]):
            if "://" not in reference and not reference.startswith("data:"):
                yield reference, f"product {product.product_id}", product.category, True
    for photo in catalog.photos:
        if photo.split == split and "://" not in photo.image:
            name = f"product {photo.product_id}" if photo.product_id else f"photo {photo.image}"
            shown = catalog.by_id.get(photo.product_id or "")
            yield photo.image, name, shown.category if shown else photo.category, False


def _purified(catalog: Catalog, found: Sequence[Found], clusters: Clusters) -> Iterator[Found]:
    """The pictures that curation kept, as what it found them to show."""
    for reference, _, _, own in found:
        if reference in clusters:
            shown = catalog.by_id.get(clusters[reference])
            kind = shown.category if shown else ()
            yield reference, f"product {clusters[reference]}", kind, own
