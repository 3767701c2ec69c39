"""Calibrating a catalog: its products that have several pictures say what scores are worth here.

Each picture of such a product is asked for, as if a shopper had sent it, without the item that
shows it. Its product is known, so that it is known which scores were right; and once more with the
product taken away, when "none of these" is right. Nothing is encoded: what is asked is stored.

Views of pictures would be evidence in every catalog, but they are no evidence of this: how much
easier a view is to find than a photo differs between catalogs by more than photos themselves do
(`docs/decisions` has the figures). Where no product has several pictures, the prior stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
import structlog

from index.errors import SearchIndexError
from index.item import Hit
from index.vectors import Matrix
from models.embedding.layout import PartWeights
from models.embedding.protocol import CatalogEncoder, Encoded
from models.errors import ModelError
from models.juicer.juice import Juice
from models.progress import Progress, no_progress
from models.reranking.catalog_shift import (
    Answers,
    CatalogShift,
    FittedShift,
    Numbers,
    fit_shift,
)
from models.reranking.protocol import ListReranker
from workers.config.chosen_encoder import models_of
from workers.config.load_models import reranker_of
from workers.config.mllm_reranker import is_mllm
from workers.config.settings import Settings
from workers.evidence.adapted import AdaptedFile
from workers.evidence.calibrated import CalibratedFile, Calibration
from workers.evidence.fitted import FittedFile
from workers.evidence.sample import PictureSample
from workers.evidence.witnesses import Pause, SampledItem, StoredItems, no_pause, sampled_items
from workers.ingest.items import picture_part
from workers.query.rerank import best_of_products, rank

log = structlog.get_logger()

CALIBRATE_EVERY_S = 10.0
"""How often to look whether it is time."""
ASKED = 300
"""Pictures, at most."""
ASKED_TOGETHER = 10
NOT_THERE = 1 / 3
"""Queries whose product is not in the catalog, as `models.reranking.no_match` assumes."""
PICTURES_EACH = 2
"""So many items are retrieved for each product wanted: some products have several."""


class SearchedItems(StoredItems, Protocol):
    """Products that can be searched: a `workers.catalog_index.CatalogIndex`."""

    def nearest(self, vectors: Matrix, limit: int) -> list[list[Hit]]:
        """The items nearest to each vector."""


@dataclass(frozen=True)
class Searching:
    """How the catalog's queries are answered.

    Attributes:
        encoder, reranker: that answer them.
        weights: of the parts of their vectors.
        candidates: products that are reranked (`query.candidates`).
    """

    encoder: CatalogEncoder
    reranker: ListReranker
    weights: PartWeights
    candidates: int


@dataclass(frozen=True)
class _Asked:
    """What came of one picture: scores 0..1, and whether the first was right."""

    first: float
    right: bool
    none: float
    none_without: float


def calibrate(
    sampled: Sequence[SampledItem],
    index: SearchedItems,
    searching: Searching,
    *,
    weights_version: str = "",
    progress: Progress = no_progress,
    pause: Pause = no_pause,
) -> Calibration:
    """The calibration by a catalog's evidence now.

    Args:
        sampled: pictures of the catalog with their items.
        index: its items.
        searching: how they are searched.
        weights_version: of the weights.
        progress: called with (pictures asked, all of them).
        pause: called before each few pictures; returns when they may be asked.

    Raises:
        SearchIndexError: the index does not answer.
        ModelError: the reranker cannot compare the items.
    """
    siblings = _siblings(sampled)
    asked: list[_Asked] = []
    for start in range(0, len(siblings), ASKED_TOGETHER):
        progress(start, len(siblings))
        pause()
        asked += _ask(siblings[start : start + ASKED_TOGETHER], index, searching)
    progress(len(siblings), len(siblings))
    unfitted = Calibration(
        model_id=searching.encoder.model_id,
        reranker=searching.reranker.version,
        weights_version=weights_version,
    )
    if not asked:
        return unfitted
    _, products = np.unique([one.item.product_id for one in siblings], return_inverse=True)
    instance, none = _instance_shift(asked, products), _none_shift(asked, products)
    return msgspec.structs.replace(
        unfitted,
        shift=CatalogShift(instance=instance.shift, none=none.shift),
        pictures=len(asked),
        products=int(products.max()) + 1,
        brier=instance.brier,
        prior_brier=instance.prior_brier,
        none_brier=none.brier,
        prior_none_brier=none.prior_brier,
    )


def _instance_shift(asked: Sequence[_Asked], products: Numbers) -> FittedShift:
    return fit_shift(
        Answers(
            given=np.array([one.first for one in asked]),
            true=np.array([one.right for one in asked]),
            products=products,
            weights=np.ones(len(asked)),
        )
    )


def _none_shift(asked: Sequence[_Asked], products: Numbers) -> FittedShift:
    there = [one.none for one in asked]
    without = [one.none_without for one in asked]
    return fit_shift(
        Answers(
            given=np.array([*there, *without]),
            true=np.repeat([False, True], len(asked)),
            products=np.tile(products, 2),
            weights=np.repeat([2 * (1 - NOT_THERE), 2 * NOT_THERE], len(asked)),
        )
    )


def _siblings(sampled: Sequence[SampledItem]) -> list[SampledItem]:
    """Pictures whose product has another one, whole products at a time."""
    by_product: dict[str, list[SampledItem]] = {}
    for one in sampled:
        by_product.setdefault(one.item.product_id, []).append(one)
    found = [one for some in by_product.values() if len(some) > 1 for one in some]
    return found[:ASKED]


def _ask(some: Sequence[SampledItem], index: SearchedItems, searching: Searching) -> list[_Asked]:
    stored = [
        Encoded(one.item.vector, Juice.from_bytes(one.item.juice), searching.weights)
        for one in some
        if one.item.vector is not None
    ]
    queries = searching.encoder.encode_queries(stored, [None] * len(stored), searching.weights)
    vectors = np.stack([query.vector for query in queries])
    found = index.nearest(vectors, PICTURES_EACH * searching.candidates)
    return [
        _asked(one, query, hits, searching)
        for one, query, hits in zip(some, queries, found, strict=True)
    ]


def _asked(one: SampledItem, query: Encoded, hits: Sequence[Hit], searching: Searching) -> _Asked:
    itself, product = picture_part(one.item.digest), one.item.product_id
    others = [hit for hit in hits if picture_part(hit.item.digest) != itself]
    without = [hit for hit in others if hit.item.product_id != product]
    reranker = searching.reranker
    with_it, without_it = (
        rank(query, None, best_of_products(some)[: searching.candidates], reranker)
        for some in (others, without)
    )
    first = with_it[0] if with_it else None
    return _Asked(
        first=first.probability if first else 0.0,
        right=first is not None and first.hit.item.product_id == product,
        none=reranker.none_of_these([hit.ranked for hit in with_it]),
        none_without=reranker.none_of_these([hit.ranked for hit in without_it]),
    )


def calibrating_of(
    settings: Settings, sample: PictureSample, index: SearchedItems, encoder: CatalogEncoder
) -> Calibrating | None:
    """What calibrates the catalog of the settings; None where its reranker is not to be."""
    if is_mllm(models_of(settings).reranker):  # not to be loaded where nobody asks it
        return None
    return Calibrating(settings, sample, index, encoder, reranker_of(settings, encoder))


class Calibrating:
    """Calibrates a catalog, once after each time that it was weighed or adapted."""

    def __init__(
        self,
        settings: Settings,
        sample: PictureSample,
        index: SearchedItems,
        encoder: CatalogEncoder,
        reranker: ListReranker,
    ) -> None:
        self._sample = sample
        self._index = index
        self._encoder = encoder
        self._reranker = reranker
        self._candidates = settings.query.candidates
        self._fitted = FittedFile(settings, encoder.model_id)
        self._adapted = AdaptedFile(settings, encoder.model_id)
        self._file = CalibratedFile(settings, encoder.model_id)
        self._tried = ""

    def check(self, progress: Progress = no_progress, pause: Pause = no_pause) -> bool:
        """Calibrate the catalog if it is time; whether that was tried."""
        used = self._adapted.read() or self._fitted.read()
        if used is None or used.version == self._tried:
            return False
        self._tried = used.version  # whatever comes of it: what is broken stays so
        last = self._file.read()
        if last and (last.weights_version, last.reranker) == (used.version, self._reranker.version):
            return False
        try:
            found = calibrate(
                sampled_items(self._sample, self._index),
                self._index,
                Searching(self._encoder, self._reranker, used.weights, self._candidates),
                weights_version=used.version,
                progress=progress,
                pause=pause,
            )
        except ModelError as error:
            log.warning("the catalog is not calibrated", why=str(error))
        except SearchIndexError:
            self._tried = ""  # but an index comes back
            raise
        else:
            self._file.write(found)
            log.info("the catalog was calibrated", summary=found.summary)
        return True
