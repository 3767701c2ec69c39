"""The part weights of queries to the live catalog: its own, or those without evidence.

Its own are in files, which are looked at for each batch: with a query map where the catalog was
adapted (`workers.evidence.adapted`), else alone (`workers.evidence.fitted`). Until there is one,
and always for how words are compared with pictures, they are computed for each prototype bank;
while a catalog is small they are refreshed beside the queries: reading the sample takes an index
that is being written to as long as ten queries.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from models.embedding.identity_library import SAMPLE
from models.embedding.layout import PartWeights
from models.embedding.protocol import SearchEncoder
from workers.catalog_index import CatalogIndex
from workers.evidence.adapted import AdaptedFile
from workers.evidence.fitted import FittedFile

log = structlog.get_logger()

REFRESH_S = 10.0
"""How often while a catalog is small: it may grow many times before it is repartitioned."""
OLDEST_S = 20.0
"""Where nothing was asked for so long, the next query waits for the refresh."""


def _in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="part weights", daemon=True).start()


class CatalogPartWeights:
    """How much a query's parts count in the catalog that the index holds now.

    `now` is called from one thread at a time. `beside` begins work that it does not wait for.
    """

    def __init__(
        self,
        encoder: SearchEncoder,
        index: CatalogIndex,
        fitted: FittedFile | None = None,
        clock: Callable[[], float] = time.monotonic,
        beside: Callable[[Callable[[], None]], None] = _in_thread,
        adapted: AdaptedFile | None = None,
    ) -> None:
        self._encoder = encoder
        self._index = index
        self._fitted = fitted
        self._adapted = adapted
        self._version = self._map_version = ""
        self._clock = clock
        self._beside = beside
        self._bank, self._looked_at, self._small = "", 0.0, False
        self._refreshing = False
        self._now = PartWeights.with_identity(0.0)

    def now(self) -> PartWeights:
        """The weights; raises MilvusUnavailable."""
        evident = self._by_evidence()
        if evident is None:
            return self._by_sample()
        if not self._encoder.reads_words:
            return evident
        return replace(evident, words=self._by_sample().words)

    def _by_evidence(self) -> PartWeights | None:
        """The weights that are in a file; None if there is none."""
        # A map means nothing after other weights than those that it was learned after.
        if self._adapted and (adapted := self._adapted.read()):
            if self._map_version != adapted.version:
                gain = round(adapted.exam.gain, 3)
                log.info("queries are mapped", version=adapted.version, gain=gain)
                self._map_version = adapted.version
            return adapted.weights
        if self._map_version:
            log.info("queries are not mapped any more")
            self._map_version = ""
        if self._fitted and (fitted := self._fitted.read()):
            if fitted.version != self._version:
                log.info("part weights of queries", **fitted.figures())
                self._version = fitted.version
            return fitted.weights
        self._version = ""
        return None

    def _by_sample(self) -> PartWeights:
        """The weights by a sample of the catalog's items, which is drawn again when it is time."""
        bank = self._index.bank_version()
        age_s = self._clock() - self._looked_at
        if bank and (bank != self._bank or (self._small and age_s >= OLDEST_S)):
            self._look(bank)
        elif self._small and age_s >= REFRESH_S and not self._refreshing:
            self._refreshing = True
            self._beside(self._refresh)
        return self._now

    def _refresh(self) -> None:
        try:
            self._look(self._bank)
        except Exception as error:  # the query that waits for it will say so too
            log.warning("the part weights are not refreshed", why=str(error))
        finally:
            self._refreshing = False

    def _look(self, bank: str) -> None:
        items = self._index.sample(SAMPLE)
        weights = self._encoder.part_weights(items)
        if replace(weights, words=self._now.words) != self._now or bank != self._bank:
            log.info("part weights of queries", identity=weights.identity, of_items=len(items))
        self._now, self._bank = weights, bank
        self._small, self._looked_at = len(items) < SAMPLE // 2, self._clock()
