"""How far the live catalog can be recognised: looked up once for each bank, and kept."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from models.embedding.identity_library import SAMPLE
from models.embedding.protocol import Encoded, SearchEncoder
from workers.catalog_index import CatalogIndex

log = structlog.get_logger()

AGAIN_EVERY_S = 10.0
"""While a catalog is small: it may grow to many times its size before it is re-keyed."""


class IdentityWeight:
    """Queries as they are to be asked of the catalog that an index holds now."""

    def __init__(
        self,
        encoder: SearchEncoder,
        index: CatalogIndex,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._encoder = encoder
        self._index = index
        self._clock = clock
        self._bank, self._again_at, self._now = "", 0.0, 0.0

    def weigh_identity(self, query: Encoded) -> Encoded:
        """The query, its identity counting as far as the catalog can be recognised."""
        return self._encoder.weigh_identity(query, self.now())

    def now(self) -> float:
        """0..1; raises StoreUnavailable."""
        bank = self._index.bank_version()
        if bank and (bank != self._bank or self._clock() >= self._again_at):
            items = self._index.sample(SAMPLE)
            known = self._encoder.identity_weight(items)
            if known != self._now or bank != self._bank:
                log.info("how far the catalog is known", identity_weight=known, of_items=len(items))
            self._now = known
            few = len(items) < SAMPLE // 2
            self._bank = bank
            self._again_at = self._clock() + AGAIN_EVERY_S if few else float("inf")
        return self._now
