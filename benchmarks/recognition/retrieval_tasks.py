"""Exams: pictures to ask with and pictures to find, and how well an encoder does by them alone.

No text helps, and nothing is reranked: this measures the picture side of the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.catalog.folder import Catalog, Photo, Product, read_catalog
from models.embedding.identity_library import IdentityLibrary
from models.embedding.layout import DIM, PartWeights, compose_item, compose_query
from models.errors import CatalogError
from models.evaluation.metrics import Levels, hit_rates, relevance, relevant_counts
from models.training.embedding.feature_cache import Source, ViewStore
from models.training.embedding.run_state import Encoder
from models.training.embedding.validation import vectors

DEPTH = 10
MOST = 2000
"""Photos asked with, taken at even steps; grocery's test split has more."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RetrievalTask:
    """Queries and documents, their rows in a store of pictures as they are, and their levels."""

    query_rows: Rows
    document_rows: Rows
    levels: Levels

    def rates(self, encoder: Encoder, store: ViewStore) -> dict[str, float]:
        """The six hit rates and their average, 0..1, by what an encoder gives alone."""
        asked = unit(vectors(encoder, store, self.query_rows))
        return self.by(asked @ unit(vectors(encoder, store, self.document_rows)).T)

    def raw(self, store: ViewStore) -> dict[str, float]:
        """The same by raw features with colour, for which nothing was fitted at all."""
        asked, shown = (
            unit(store.projection.raw(store.features(rows)))
            for rows in (self.query_rows, self.document_rows)
        )
        return self.by(asked @ shown.T)

    def served(
        self, encoder: Encoder, library: IdentityLibrary | None, store: ViewStore, dim: int = DIM
    ) -> dict[str, float]:
        """The same as it is retrieved when it is served: see `similarity`."""
        return self.by(self.similarity(encoder, library, store, dim)[0])

    def similarity(
        self, encoder: Encoder, library: IdentityLibrary | None, store: ViewStore, dim: int = DIM
    ) -> tuple[Floats, PartWeights]:
        """Cosines (queries, documents) of vectors with identity and appearance, and the weights of
        both.

        Args:
            encoder: gives the identities.
            library: tells how far the encoder knows the documents.
            store: of the pictures; its projection gives their looks.
            dim: 64, 128, 256 or 512.
        """
        asked, shown = (
            zip(unit(vectors(encoder, store, rows)), store.appearances(rows), strict=True)
            for rows in (self.query_rows, self.document_rows)
        )
        documents = np.stack([compose_item(*parts, None, dim=dim) for parts in shown])
        known = 0.0 if library is None else library.identity_weight(documents)
        weights = PartWeights(identity=known)
        queries = np.stack([compose_query(*parts, None, weights, dim=dim) for parts in asked])
        return queries @ documents.T, weights

    def by(self, similarity: Floats) -> dict[str, float]:
        """Those of documents by their similarity (queries, documents)."""
        return self.hit_rates(np.argsort(-similarity, axis=1, kind="stable"))

    def hit_rates(self, order: Rows) -> dict[str, float]:
        """Those of documents in an order (queries, `DEPTH` or more), by their places."""
        ranked = np.take_along_axis(self.levels, order[:, :DEPTH], axis=1)
        return hit_rates(ranked, relevant_counts(self.levels))


class TaskFeatures:
    """Gathers the pictures of several exams, each picture once."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    @property
    def sources(self) -> list[Source]:
        """All pictures, one view each: what a store of exams is made from."""
        return [Source(path, 1) for path in self._rows]

    def task(
        self, catalog: Catalog, queries: Sequence[Photo], documents: Sequence[Photo | Product]
    ) -> RetrievalTask:
        """Photos of a catalog against products, or against other photos."""
        asked = queries[:: max(1, -(-len(queries) // MOST))]
        shown = [one for one in documents if one.image]
        return RetrievalTask(
            self._places(catalog, asked), self._places(catalog, shown), relevance(asked, shown)
        )

    def _places(self, catalog: Catalog, pictures: Sequence[Photo | Product]) -> Rows:
        paths = [catalog.locate(one.image or "") for one in pictures]
        return np.array([self._rows.setdefault(path, len(self._rows)) for path in paths], np.int64)


def retrieval_tasks(folders: Sequence[Path], features: TaskFeatures) -> dict[str, RetrievalTask]:
    """The exams of catalog folders, by name.

    ``NAME``: test photos against the products' pictures, where photos show known products; those of
    products that were not learned from, if there are such. ``NAME photos``: test photos against
    those of the training split.
    """
    tasks: dict[str, RetrievalTask] = {}
    for folder in folders:
        catalog = read_catalog(folder)
        asked, learned = catalog.split("test"), split_or_none(catalog, "train")
        shown = {photo.product_id for photo in asked}
        unseen = shown.isdisjoint({photo.product_id for photo in learned})
        known = [one for one in catalog.products if not unseen or one.product_id in shown]
        if known:
            tasks[folder.name] = features.task(catalog, asked, known)
        if learned and not (known and unseen):
            tasks[f"{folder.name} photos"] = features.task(catalog, asked, learned)
    return tasks


def split_or_none(catalog: Catalog, name: str) -> tuple[Photo, ...]:
    """Photos of a split, none where there is no such split."""
    try:
        return catalog.split(name)
    except CatalogError:
        return ()
