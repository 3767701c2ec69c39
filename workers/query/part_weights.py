"""The part weights of queries to the live catalog, computed once for each prototype bank."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from models.embedding.identity_library import SAMPLE
from models.embedding.layout import PartWeights
from models.embedding.protocol import SearchEncoder
from workers.catalog_index import CatalogIndex

log = structlog.get_logger()

REFRESH_S = 10.0
"""How often while a catalog is small: it may grow many times before it is repartitioned."""


class CatalogPartWeights:
    """How much a query's parts count in the catalog that the index holds now."""

    def __init__(
        self,
        encoder: SearchEncoder,
        index: CatalogIndex,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._encoder = encoder
        self._index = index
        self._clock = clock
        self._bank, self._refresh_at = "", 0.0
        self._now = PartWeights(identity=0.0)

    def now(self) -> PartWeights:
        """The weights; raises MilvusUnavailable."""
        bank = self._index.bank_version()
        if bank and (bank != self._bank or self._clock() >= self._refresh_at):
            items = self._index.sample(SAMPLE)
            weights = self._encoder.part_weights(items)
            if weights != self._now or bank != self._bank:
                log.info("part weights of queries", identity=weights.identity, of_items=len(items))
            self._now = weights
            few = len(items) < SAMPLE // 2
            self._bank = bank
            self._refresh_at = self._clock() + REFRESH_S if few else float("inf")
        return self._now
