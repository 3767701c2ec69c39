"""Training data of the reranker: queries with their candidates, features and levels.

For a catalog without photos of known products, augmented views of its own pictures are the queries.
Catalog folders hardly ever have query texts, so synthetic ones are made from the product's leaf
category or title, some with a typo. They determine the parameters of queries with text only;
queries by picture have parameters of their own.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.catalog.folder import Catalog, Photo, Product
from models.catalog.typos import mistype
from models.embedding.layout import PartWeights
from models.embedding.protocol import Encoded, SearchEncoder
from models.errors import RerankerError
from models.evaluation.metrics import Level, Levels, relevance, relevant_counts
from models.images.files import open_picture
from models.images.letterbox import Picture
from models.progress import Progress, no_progress
from models.reranking.chunks import ABSENT, split
from models.reranking.features import collect_features
from models.reranking.protocol import Candidate
from models.training.embedding.augmentation import random_view

T = TypeVar("T", bound=np.generic)

MODALITIES = ("picture", "text", "both")
SPLITS = ("train", "val")
"""Photos to fit on; results are reported on others."""

VIEWS = 4
"""Of each product's picture, where there are no photos."""

FEWEST = 10
"""Products to make views of, below which those that photos of other splits show are taken too."""

UNFITTED = "Without a fitted one, lists keep retrieval's order, with scores made of similarities"
"""What serves meanwhile: `models.reranking.similarity`."""

TYPO_SHARE = 0.3
"""Of synthetic texts."""


@dataclass(frozen=True)
class QuerySource:
    """What asks: a photo, words, or both.

    Attributes:
        photo: that is shown, or whose product the words are of.
        view: the number of the view of it; 0 for the photo as it is.
        shown: whether the query has the picture.
        text: its words; None without any.
    """

    photo: Photo
    view: int
    shown: bool
    text: str | None

    def picture(self, catalog: Catalog) -> Picture | None:
        """The query's picture. Raises PictureError where it cannot be read."""
        return _query_picture(catalog, self.photo, self.view) if self.shown else None


@dataclass(frozen=True, eq=False)
class RankingLists:
    """Queries of one modality, with their candidates in retrieval order.

    Attributes:
        chunks: (queries, chunks, size), ABSENT where a list has fewer candidates than others.
        features: (queries, chunks, size, features), NaN there.
        levels: (queries, candidates), `Level.IRRELEVANT` there.
        nearest: which products of its catalog the candidates are, (queries, candidates), ABSENT
            there.
        queries: what asks.
        relevant: G over the whole catalog, (queries,).
        products: that each query shows, (queries,); folds keep a product together.
        catalogs: that each query is asked of, (queries,).
        weights: of the queries' parts.
        from_views: whether the queries are views of the products' pictures, not photos.
    """

    chunks: NDArray[np.int64]
    features: Floats
    levels: Levels
    nearest: NDArray[np.int64]
    queries: tuple[QuerySource, ...]
    relevant: NDArray[np.int64]
    products: tuple[str, ...]
    catalogs: tuple[str, ...]
    weights: PartWeights
    from_views: bool

    @property
    def chunk_levels(self) -> Levels:
        """Levels laid out as `chunks`, (queries, chunks, size); padding repeats the last."""
        rows = np.arange(len(self.levels))[:, None, None]
        laid_out: Levels = self.levels[rows, self.chunks]
        return laid_out


def joined(lists: Sequence[RankingLists]) -> RankingLists:
    """Lists of one modality of several catalogs as one; weights are those of the first."""
    if len(lists) == 1:
        return lists[0]
    chunks, size = (max(one.chunks.shape[axis] for one in lists) for axis in (1, 2))
    depth = max(one.levels.shape[1] for one in lists)
    return RankingLists(
        chunks=np.concatenate([_padded(one.chunks, ABSENT, chunks, size) for one in lists]),
        features=np.concatenate([_padded(one.features, np.nan, chunks, size) for one in lists]),
        levels=np.concatenate([_padded(one.levels, Level.IRRELEVANT, depth) for one in lists]),
        nearest=np.concatenate([_padded(one.nearest, ABSENT, depth) for one in lists]),
        queries=tuple(source for one in lists for source in one.queries),
        relevant=np.concatenate([one.relevant for one in lists]),
        products=tuple(
            f"{number}/{name}" for number, one in enumerate(lists) for name in one.products
        ),
        catalogs=tuple(name for one in lists for name in one.catalogs),
        weights=lists[0].weights,
        from_views=all(one.from_views for one in lists),
    )


def _padded(rows: NDArray[T], value: float, *shape: int) -> NDArray[T]:
    """Rows (n, …) whose first axes after that are made longer."""
    wider = [(0, 0), *((0, to - was) for to, was in zip(shape, rows.shape[1:], strict=False))]
    wider += [(0, 0)] * (rows.ndim - len(wider))
    return np.pad(rows, wider, constant_values=value)


def make_ranking_lists(
    encoder: SearchEncoder,
    catalog: Catalog,
    splits: Sequence[str] | None,
    *,
    limit: int | None = None,
    depth: int = 100,
    seed: int = 0,
    weights: PartWeights | None = None,
    progress: Progress = no_progress,
) -> dict[str, RankingLists]:
    """Ranking lists of each modality from the photos of some splits that show a known product.

    If the folder has no such photos at all, views of the products' pictures take their place.

    Args:
        splits: None for `SPLITS`; where no photo is of these, for views as well.
        limit: about so many photos, taken at even steps; None for all.
        depth: candidates per query; the whole catalog where it is smaller.
        seed: of the synthetic texts.
        weights: of the queries' parts; None for those that the encoder gives the catalog.
        progress: called with (pictures and texts encoded, all of them).

    Raises:
        CatalogError, PictureError: the folder lacks a split, or a picture cannot be read.
        RerankerError: only other splits show products of the catalog; or there are neither photos
            nor pictures.
    """
    sources = _query_sources(catalog, splits)
    sources = sources[:: -(-len(sources) // limit)] if limit else sources
    photos = [photo for photo, _ in sources]
    done, total = 0, len(catalog.products) + len(MODALITIES) * len(photos)

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    progress(done, total)
    items = []
    for product in catalog.products:
        picture = _open(catalog, product.image) if product.image else None
        items += encoder.encode_items([picture], [product.text], [product.category])
        tick()
    weights = weights or encoder.part_weights(np.stack([one.vector for one in items]))
    rng = random.Random(seed)
    synthetic = [synthetic_query(catalog.by_id[photo.product_id or ""], rng) for photo in photos]
    lists = {}
    for modality in MODALITIES:
        texts: list[str | None] = [None] * len(photos) if modality == "picture" else [*synthetic]
        queries: list[Encoded] = []
        for source, text in zip(sources, texts, strict=True):
            picture = None if modality == "text" else _query_picture(catalog, *source)
            queries += encoder.encode_queries([picture], [text], weights)
            tick()
        asking = [
            QuerySource(photo, view, modality != "text", text)
            for (photo, view), text in zip(sources, texts, strict=True)
        ]
        lists[modality] = _ranking_lists(asking, queries, catalog, items, depth)
    return lists


def _ranking_lists(
    asking: Sequence[QuerySource],
    queries: Sequence[Encoded],
    catalog: Catalog,
    items: Sequence[Encoded],
    depth: int,
) -> RankingLists:
    photos, products = [one.photo for one in asking], catalog.products
    similarity = np.stack([one.vector for one in queries]) @ np.stack([i.vector for i in items]).T
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :depth]
    levels = relevance(photos, products)
    chunks = split(nearest.shape[1])
    features = [
        collect_features(
            query.juice,
            source.text,
            [
                Candidate(
                    products[at].product_id, float(row[at]), items[at].juice, products[at].title
                )
                for at in places
            ],
            chunks,
        )
        for query, source, row, places in zip(queries, asking, similarity, nearest, strict=True)
    ]
    return RankingLists(
        chunks=np.broadcast_to(chunks, (len(photos), *chunks.shape)),
        features=np.stack(features),
        levels=np.take_along_axis(levels, nearest, axis=1),
        nearest=nearest,
        queries=tuple(asking),
        relevant=relevant_counts(levels),
        products=tuple(photo.product_id or "" for photo in photos),
        catalogs=(catalog.folder.name,) * len(photos),
        weights=queries[0].weights,
        from_views=bool(asking[0].view),
    )


def synthetic_query(product: Product, rng: random.Random) -> str:
    """A query text for a product: its leaf category or its title, three in ten with a typo."""
    choices = [name for name in (product.title, *product.category[-1:]) if name]
    text = rng.choice(choices).replace("-", " ").lower() if choices else "anything"
    return mistype(text, rng) if rng.random() < TYPO_SHARE else text


def _query_sources(catalog: Catalog, splits: Sequence[str] | None) -> list[tuple[Photo, int]]:
    """Photos of the splits, or products' pictures; the number of the view, 0 for unchanged."""
    known = [photo for photo in catalog.photos if photo.product_id in catalog.by_id]
    sources = [(photo, 0) for name in splits or SPLITS for photo in known if photo.split == name]
    if not sources and (splits is None or not known):
        sources = _views(catalog, {photo.product_id for photo in known})
    if not sources:
        raise RerankerError(
            f"no photo of {', '.join(splits or SPLITS)} names a product of {catalog.folder}: the "
            "reranker learns from photos whose product is known, or from pictures of the products "
            f"in the folder. {UNFITTED}"
        )
    return sources


def _views(catalog: Catalog, held_out: set[str | None]) -> list[tuple[Photo, int]]:
    """Views of the products' pictures, without those held out unless too few would be left."""
    shown = [one for one in catalog.products if one.image and "://" not in one.image]
    others = [one for one in shown if one.product_id not in held_out]
    return [
        (Photo(image=one.image or "", product_id=one.product_id, category=one.category), number)
        for one in (others if len(others) >= FEWEST else shown)
        for number in range(1, VIEWS + 1)
    ]


def _query_picture(catalog: Catalog, photo: Photo, number: int) -> Picture:
    picture = _open(catalog, photo.image)
    if not number:
        return picture
    seed = zlib.crc32(f"{photo.product_id}/{number}".encode())
    return random_view(picture, np.random.default_rng(seed))


def _open(catalog: Catalog, reference: str) -> Picture:
    return open_picture(Path(catalog.locate(reference)))
