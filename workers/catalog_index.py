"""The index as a worker holds it: opened when there is one, reopened when it was re-keyed.

The first items that arrive make the first prototype bank; when the catalog has outgrown its bank,
the ingest worker re-keys it. Readers follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from index.errors import GenerationChanged, ModelMismatch
from index.item import Hit, Item
from index.lifecycle.repartition import outgrown, repartition
from index.milvus.collection import Collection
from index.milvus.open import open_collection
from index.prototypes.kmeans import build
from index.prototypes.registry import BankRegistry
from index.search.probe import probe
from index.vectors import Matrix
from workers.config.settings import Settings
from workers.config.wiring import milvus_config_of
from workers.errors import SettingsError

log = structlog.get_logger()


@dataclass(frozen=True)
class Found:
    """Hits per query, best first, and the bank they were found by ("" while there is none)."""

    hits: list[list[Hit]]
    bank_version: str


def open_catalog(settings: Settings) -> tuple[Collection, BankRegistry]:
    """The catalog's collection, whatever model made it, and the shelf of its banks.

    Raises:
        SettingsError: nothing was ever indexed here.
    """
    registry = BankRegistry(settings.data_dir)
    if (version := registry.current()) is None:
        raise SettingsError(
            f"there is no index in {settings.data_dir} yet: produce a catalog first "
            "(lookstream produce DIR), or set data_dir"
        )
    name, store = settings.milvus.collection, milvus_config_of(settings)
    try:
        return open_collection(store, registry.get(version), name), registry
    except GenerationChanged as error:
        return open_collection(store, registry.get(error.bank_version), name), registry


class CatalogIndex:
    """One catalog's index for one model; not thread-safe.

    Several processes may write, each to products of its own. What they write is taken to be known
    from the first use on: `close` it whenever products may have changed hands. `alone` says
    whether no other process writes just now; only then the catalog is re-keyed.
    """

    def __init__(
        self, settings: Settings, model_id: str, alone: Callable[[], bool] = lambda: True
    ) -> None:
        self._settings = settings
        self._model_id = model_id
        self._alone = alone
        self._registry = BankRegistry(settings.data_dir)
        self._collection: Collection | None = None

    def stored(self, product_ids: Sequence[str]) -> list[Item]:
        """All items of these products, tombstones too, with their vectors."""
        collection = self._opened()
        if collection is None or not product_ids:
            return []
        try:
            return collection.get(list(dict.fromkeys(product_ids)), vectors=True)
        except GenerationChanged:
            self.close()
            return self.stored(product_ids)

    def write(self, items: Sequence[Item], gone: Sequence[str] = ()) -> None:
        """Key each item by its nearest prototype and write it; remove the items `gone`."""
        if not items and not gone:
            return
        try:
            collection = self._write(items, gone)
        except GenerationChanged:  # re-keyed, or another process was first to write anything
            self.close()
            collection = self._write(items, gone)
        if not self._settings.milvus.repartition or not self._alone():
            return
        if outgrown(collection.recent_count(), collection.bank):
            log.info("the catalog has outgrown its prototypes", items=collection.recent_count())
            self._collection = repartition(collection, self._registry)

    def _write(self, items: Sequence[Item], gone: Sequence[str]) -> Collection:
        vectors = np.stack([item.vector for item in items if item.vector is not None])
        collection = self._opened() or self._first(vectors)
        prototypes, _ = collection.bank.assign(vectors)
        collection.write(
            [
                item
                if item.is_tombstone
                else msgspec.structs.replace(item, prototype=int(prototype))
                for item, prototype in zip(items, prototypes, strict=True)
            ]
        )
        collection.delete(gone)
        return collection

    def search(self, vectors: Sequence[NDArray[np.float32]], limit: int) -> Found:
        """The items nearest to each query vector, at most `limit` each."""
        collection = self._opened()
        if collection is None or not vectors:
            return Found([[] for _ in vectors], "")
        try:
            hits = probe(collection, collection.bank, np.stack(vectors), limit)
        except GenerationChanged:
            self.close()
            return self.search(vectors, limit)
        return Found(hits, collection.bank.version)

    def bank_version(self) -> str:
        """The bank that the catalog is keyed by; "" while there is nothing."""
        collection = self._opened()
        return "" if collection is None else collection.bank.version

    def sample(self, limit: int) -> Matrix:
        """The vectors of at most `limit` items from all over the catalog, (n, d)."""
        collection = self._opened()
        if collection is None:
            return np.zeros((0, 0), np.float32)
        try:
            return collection.sample(limit)
        except GenerationChanged:
            self.close()
            return self.sample(limit)

    def purge_tombstones(self, before_ns: int) -> int:
        """Remove tombstones written before a time (ns since the epoch); how many."""
        collection = self._opened()
        return 0 if collection is None else collection.purge_tombstones(before_ns)

    def flush(self) -> None:
        """Make what was written cheap to search; it is safe already."""
        if (collection := self._opened()) is not None:
            collection.flush()

    def count(self) -> int:
        """Items that can be found now."""
        collection = self._opened()
        return 0 if collection is None else collection.count()

    def content_hash(self) -> str:
        """Names what shoppers can see; "" while there is nothing. Reads every row."""
        collection = self._opened()
        return "" if collection is None else collection.content_hash()

    def close(self) -> None:
        """Let go of the connection; the next call opens it again."""
        if self._collection is not None:
            self._collection.close()
            self._collection = None

    def _opened(self) -> Collection | None:
        """The collection under its present bank; None before anything was ever written."""
        if self._collection is None and self._registry.current() is not None:
            collection, _ = open_catalog(self._settings)
            if collection.bank.model_id != self._model_id:
                collection.close()
                raise ModelMismatch(
                    f"the index was made with model {collection.bank.model_id!r} and this worker "
                    f"has {self._model_id!r}: go back to that model, or point data_dir and "
                    "milvus.collection to a new place and produce the catalog again"
                )
            self._collection = collection
        return self._collection

    def _first(self, vectors: NDArray[np.float32]) -> Collection:
        """The collection, with a first bank made from the first vectors."""
        bank = build(vectors, self._model_id)
        settings = self._settings
        collection = open_collection(milvus_config_of(settings), bank, settings.milvus.collection)
        self._registry.put(bank)
        self._registry.make_current(bank.version)
        log.info("first prototype bank", bank=bank.version, prototypes=len(bank))
        self._collection = collection
        return collection
