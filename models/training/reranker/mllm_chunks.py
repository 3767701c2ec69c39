"""What a vision-language model learns to rerank from: chunks of ranking lists, with their pictures.

The lists are those of `models.training.reranker.ranking_lists`: photos of known products, or views
of the products' own pictures, asked by picture, by words and by both, with the nearest products as
candidates. A chunk holds neighbours of the retrieval order, as when it serves, in an order that is
drawn anew each time, so that nothing is learned of places.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from models.catalog.folder import Catalog
from models.errors import PictureError
from models.images.files import open_picture
from models.images.letterbox import Picture
from models.reranking.chunks import ABSENT
from models.reranking.listwise_prompt import Question, as_shown
from models.training.reranker.ranking_lists import QuerySource, RankingLists

KEPT = 2000
"""Small pictures in memory, 250 kB each at most."""
HELD_OUT = 10
"""One product in so many is held out, with all queries for it."""


@dataclass(frozen=True)
class Chunk:
    """A chunk before its pictures are read.

    Attributes:
        catalog: number of the catalog.
        query: what asks.
        products: places in the catalog, at most ten.
        levels: of each, 0 (the very product) to 3.
    """

    catalog: int
    query: QuerySource
    products: tuple[int, ...]
    levels: tuple[int, ...]

    def shuffled(self, rng: random.Random) -> Chunk:
        """The same in another order."""
        order = rng.sample(range(len(self.products)), len(self.products))
        return Chunk(
            self.catalog,
            self.query,
            tuple(self.products[at] for at in order),
            tuple(self.levels[at] for at in order),
        )


def chunks_of(lists: RankingLists, catalog: int) -> list[Chunk]:
    """All chunks of all queries."""
    return [
        Chunk(
            catalog,
            query,
            tuple(nearest[places].tolist()),
            tuple(levels[places].tolist()),
        )
        for query, chunks, nearest, levels in zip(
            lists.queries, lists.chunks, lists.nearest, lists.levels, strict=True
        )
        for row in chunks
        for places in [row[row != ABSENT]]
    ]


def hold_out(chunks: Sequence[Chunk]) -> tuple[list[Chunk], list[Chunk]]:
    """Chunks to learn from, and those of queries for products that are held out."""
    learned: list[Chunk] = []
    held: list[Chunk] = []
    for chunk in chunks:
        key = zlib.crc32((chunk.query.photo.product_id or "").encode())
        (held if key % HELD_OUT == 0 else learned).append(chunk)
    return learned, held


class Pictures:
    """Reads the pictures of chunks, as small as the model sees them; keeps the last ones."""

    def __init__(self, catalogs: Sequence[Catalog]) -> None:
        self._catalogs = catalogs
        self._query = lru_cache(KEPT)(self._query_picture)
        self._product = lru_cache(KEPT)(self._product_picture)

    def question(self, chunk: Chunk) -> Question:
        """The chunk as it is asked; a product whose picture cannot be read is shown by its words.

        Raises:
            PictureError: the query's picture cannot be read.
        """
        products = self._catalogs[chunk.catalog].products
        return Question(
            text=chunk.query.text or "",
            picture=self._query(chunk.catalog, chunk.query),
            texts=tuple(products[at].title for at in chunk.products),
            pictures=tuple(self._product(chunk.catalog, at) for at in chunk.products),
        )

    def _query_picture(self, catalog: int, query: QuerySource) -> Picture | None:
        picture = query.picture(self._catalogs[catalog])
        return None if picture is None else as_shown(picture)

    def _product_picture(self, catalog: int, at: int) -> Picture | None:
        shown = self._catalogs[catalog].products[at].image
        if shown is None:
            return None
        try:
            return as_shown(open_picture(Path(self._catalogs[catalog].locate(shown))))
        except PictureError:
            return None
