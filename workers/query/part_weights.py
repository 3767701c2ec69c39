"""The part weights of queries to the live catalog: looked up once for each bank, and kept."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from models.embedding.identity_library import SAMPLE
from models.embedding.layout import PartWeights
from models.embedding.protocol import SearchEncoder
from workers.catalog_index import CatalogIndex

log = structlog.get_logger()

AGAIN_EVERY_S = 10.0
"""While a catalog is small: it may grow to many times its size before it is re-keyed."""


class CatalogPartWeights:
    """How much a query's parts count in the catalog that an index holds now."""

    def __init__(
        self,
        encoder: SearchEncoder,
        index: CatalogIndex,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._encoder = encoder
        self._index = index
        self._clock = clock
        self._bank, self._again_at = "", 0.0
        self._now = PartWeights(identity=0.0)

    def now(self) -> PartWeights:
        """The weights; raises StoreUnavailable."""
        bank = self._index.bank_version()
        if bank and (bank != self._bank or self._clock() >= self._again_at):
            items = self._index.sample(SAMPLE)
            weights = self._encoder.part_weights(items)
            if weights != self._now or bank != self._bank:
                log.info("part weights of queries", identity=weights.identity, of_items=len(items))
            self._now = weights
            few = len(items) < SAMPLE // 2
            self._bank = bank
            self._again_at = self._clock() + AGAIN_EVERY_S if few else float("inf")
        return self._now
