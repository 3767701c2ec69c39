"""Witnesses of the catalog: its sampled items as the index has them, and views of their pictures.

Attributed clicks would be witnesses too, and better ones than views: a click says which product a
photo shows. Their place is in `gather_witnesses`, as more views, once photos of queries are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from index.item import Item
from models.arrays import Floats
from models.embedding.part_weights import Numbers, Witnesses
from models.embedding.protocol import CatalogEncoder
from models.images.letterbox import Picture
from models.images.views import catalog_view
from models.progress import Progress, no_progress
from workers.evidence.sample import PictureSample, SampledPicture
from workers.ingest.items import picture_part

READ_TOGETHER = 50
"""Products read at once: a batch or a query that comes meanwhile waits for so many at most."""
ENCODE_TOGETHER = 8

Pause = Callable[[], None]


def no_pause() -> None:
    """Goes on at once."""


class StoredItems(Protocol):
    """Products as they are stored: a `workers.catalog_index.CatalogIndex`."""

    def stored(self, product_ids: Sequence[str]) -> list[Item]:
        """All items of these products with vectors."""


@dataclass(frozen=True)
class SampledItem:
    """A picture of the sample, and the item that shows it."""

    picture: SampledPicture
    item: Item


def sampled_items(sample: PictureSample, index: StoredItems) -> list[SampledItem]:
    """The pictures of the sample that the index still has, in the order of the sample.

    Raises:
        EvidenceError: the sample cannot be read.
        SearchIndexError: the index cannot.
    """
    pictures = sample.pictures()
    products = list(dict.fromkeys(picture.product_id for picture in pictures))
    items: dict[tuple[str, str], Item] = {}
    for start in range(0, len(products), READ_TOGETHER):
        for item in index.stored(products[start : start + READ_TOGETHER]):
            if not item.is_tombstone:
                items.setdefault((item.product_id, picture_part(item.digest)), item)
    keys = [(picture.product_id, picture.digest) for picture in pictures]
    return [
        SampledItem(picture, items[key])
        for picture, key in zip(pictures, keys, strict=True)
        if key in items
    ]


def gather_witnesses(
    sampled: Sequence[SampledItem],
    encoder: CatalogEncoder,
    views: Sequence[int],
    *,
    progress: Progress = no_progress,
    pause: Pause = no_pause,
) -> Witnesses:
    """The witnesses in some sampled items; the same ones always give the same.

    Args:
        sampled: at least one item.
        encoder: of the index.
        views: numbers of the views of each picture (`models.images.views.catalog_view`).
        progress: called with (views encoded, all of them).
        pause: called before each `ENCODE_TOGETHER` views; returns when they may be encoded.
    """
    wanted = [(at, number) for number in views for at in range(len(sampled))]
    encoded: list[Floats] = []
    for start in range(0, len(wanted), ENCODE_TOGETHER):
        progress(start, len(wanted))
        pause()
        some = wanted[start : start + ENCODE_TOGETHER]
        pictures = [_view(sampled, at, number) for at, number in some]
        encoded += [one.vector for one in encoder.encode_items(pictures, [None] * len(some))]
    progress(len(wanted), len(wanted))
    return Witnesses(
        items=np.stack([_vector(one.item) for one in sampled]),
        products=_numbered([one.item.product_id for one in sampled]),
        categories=_numbered([tuple(one.item.payload["category"]) or None for one in sampled]),
        views=np.stack(encoded) if encoded else np.zeros((0, encoder.dim), np.float32),
        shown=np.array([at for at, _ in wanted], np.intp),
    )


def _view(sampled: Sequence[SampledItem], at: int, number: int) -> Picture:
    """A view of one picture; its randomness comes from that picture alone."""
    picture = sampled[at].picture
    rng = np.random.default_rng([int(picture.digest[:16], 16), number])
    others = max(1, len(sampled) - 1)
    other = sampled[(at + 1 + int(rng.integers(others))) % len(sampled)].picture
    return catalog_view(picture.pixels(), other.pixels(), number, rng)


def _vector(item: Item) -> Floats:
    if item.vector is None:
        raise ValueError(f"{item.item_id} was read without its vector")
    return item.vector


def _numbered(values: Sequence[object]) -> Numbers:
    """Equal values as equal numbers, from 0; -1 for None."""
    numbers: dict[object, int] = {}
    return np.array(
        [-1 if one is None else numbers.setdefault(one, len(numbers)) for one in values], np.intp
    )
