"""Retrieval tasks by pictures alone: queries, documents, and the hit rates of an encoder.

Without texts and reranking, they measure the picture side of the encoder.
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
from models.embedding.layout import DIM, PartWeights, PictureParts, compose_item, compose_query
from models.errors import CatalogError
from models.evaluation.metrics import Levels, hit_rates, relevance, relevant_counts
from models.training.embedding.feature_cache import FeatureCache, Source
from models.training.embedding.run_state import TrainableEncoder
from models.training.embedding.validation import encode_rows

DEPTH = 10
MAX_QUERIES = 2000
"""Of a task, taken at even steps; grocery's test split has more photos."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RetrievalTask:
    """Queries and documents, as rows of a cache of unaugmented pictures, and relevance levels."""

    query_rows: Rows
    document_rows: Rows
    levels: Levels

    def rates(self, encoder: TrainableEncoder, cache: FeatureCache) -> dict[str, float]:
        """The six hit rates and their average, 0..1, by the encoder's identities alone."""
        queries = unit(encode_rows(encoder, cache, self.query_rows))
        return self.by(queries @ unit(encode_rows(encoder, cache, self.document_rows)).T)

    def raw(self, cache: FeatureCache) -> dict[str, float]:
        """The same by raw features with colour, weighed as without an identity: nothing trained."""
        (queries, query_colours), (documents, document_colours) = (
            (
                unit(cache.projection.raw_features(cache.pooled_features(rows))),
                cache.colours(rows),
            )
            for rows in (self.query_rows, self.document_rows)
        )
        weights = PartWeights.with_identity(0)
        by_depths = weights.appearance * (queries @ documents.T)
        return self.by(by_depths + weights.colour * (query_colours @ document_colours.T))

    def served(
        self,
        encoder: TrainableEncoder,
        library: IdentityLibrary | None,
        cache: FeatureCache,
        dim: int = DIM,
    ) -> dict[str, float]:
        """The same by the vectors that are served: see `similarity`."""
        return self.by(self.similarity(encoder, library, cache, dim)[0])

    def similarity(
        self,
        encoder: TrainableEncoder,
        library: IdentityLibrary | None,
        cache: FeatureCache,
        dim: int = DIM,
    ) -> tuple[Floats, PartWeights]:
        """Cosines (queries, documents) of the picture's parts, and their weights.

        Args:
            encoder: of the identities.
            library: estimates how well the encoder knows the documents.
            cache: of the pictures; its projection has their appearance and colour.
            dim: 64, 128, 256, 512 or 768.
        """
        query_parts, document_parts = (
            [
                PictureParts(*parts)
                for parts in zip(
                    unit(encode_rows(encoder, cache, rows)),
                    cache.appearances(rows),
                    cache.colours(rows),
                    strict=True,
                )
            ]
            for rows in (self.query_rows, self.document_rows)
        )
        documents = np.stack([compose_item(parts, None, dim=dim) for parts in document_parts])
        known = 0.0 if library is None else library.identity_weight(documents)
        weights = PartWeights.with_identity(known)
        queries = np.stack([compose_query(parts, None, weights, dim=dim) for parts in query_parts])
        return queries @ documents.T, weights

    def by(self, similarity: Floats) -> dict[str, float]:
        """Hit rates of documents by similarity (queries, documents)."""
        return self.hit_rates(np.argsort(-similarity, axis=1, kind="stable"))

    def hit_rates(self, order: Rows) -> dict[str, float]:
        """Hit rates of ranked documents: column numbers (queries, `DEPTH` or more)."""
        ranked = np.take_along_axis(self.levels, order[:, :DEPTH], axis=1)
        return hit_rates(ranked, relevant_counts(self.levels))


class TaskPictures:
    """Collects the pictures of several tasks, each picture once."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    @property
    def sources(self) -> list[Source]:
        """All pictures, one view each, for a cache."""
        return [Source(path, 1) for path in self._rows]

    def task(
        self, catalog: Catalog, queries: Sequence[Photo], documents: Sequence[Photo | Product]
    ) -> RetrievalTask:
        """Photos of a catalog against products, or against other photos."""
        queries = queries[:: max(1, -(-len(queries) // MAX_QUERIES))]
        documents = [one for one in documents if one.image]
        return RetrievalTask(
            self._rows_of(catalog, queries),
            self._rows_of(catalog, documents),
            relevance(queries, documents),
        )

    def _rows_of(self, catalog: Catalog, pictures: Sequence[Photo | Product]) -> Rows:
        paths = [catalog.locate(one.image or "") for one in pictures]
        return np.array([self._rows.setdefault(path, len(self._rows)) for path in paths], np.int64)


def retrieval_tasks(folders: Sequence[Path], pictures: TaskPictures) -> dict[str, RetrievalTask]:
    """The retrieval tasks of catalog folders, by name.

    ``NAME``: test photos against the products' pictures, if photos show known products; only those
    of products outside the training split, if the splits are disjoint. ``NAME photos``: test photos
    against photos of the training split.
    """
    tasks: dict[str, RetrievalTask] = {}
    for folder in folders:
        catalog = read_catalog(folder)
        queries, training = catalog.split("test"), split_or_none(catalog, "train")
        photographed = {photo.product_id for photo in queries}
        disjoint = photographed.isdisjoint({photo.product_id for photo in training})
        known = [one for one in catalog.products if not disjoint or one.product_id in photographed]
        if known:
            tasks[folder.name] = pictures.task(catalog, queries, known)
        if training and not (known and disjoint):
            tasks[f"{folder.name} photos"] = pictures.task(catalog, queries, training)
    return tasks


def split_or_none(catalog: Catalog, name: str) -> tuple[Photo, ...]:
    """Photos of a split, none if there is no such split."""
    try:
        return catalog.split(name)
    except CatalogError:
        return ()
