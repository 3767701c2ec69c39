"""The index as a worker holds it: opened when there is one, reopened when it was repartitioned.

The first items that arrive make the first prototype bank; when the catalog needs more prototypes,
the ingest worker repartitions it beside its writes (`workers.index_maintenance`). Readers follow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from index.errors import GenerationChanged, ModelMismatch, RepartitionCancelled
from index.item import Hit, Item
from index.milvus.collection import Collection
from index.milvus.open import live_metadata, open_collection
from index.prototypes.kmeans import build
from index.prototypes.registry import BankRegistry
from index.search.probe import probe
from index.vectors import Matrix
from workers.config.settings import Settings
from workers.config.wiring import milvus_config_of
from workers.errors import SettingsError
from workers.model_fit import misfit

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """Hits per query, best first, and the bank they were found by ("" while there is none)."""

    hits: list[list[Hit]]
    bank_version: str


def open_catalog(settings: Settings) -> tuple[Collection, BankRegistry]:
    """The catalog's collection, whatever model made it, and the registry of its banks.

    Raises:
        SettingsError: nothing was ever indexed here.
        BankError: the bank that the catalog is assigned by is not in `data_dir`.
    """
    registry = BankRegistry(settings.data_dir)
    if (current := registry.current()) is None:
        raise SettingsError(
            f"there is no index in {settings.data_dir} yet: produce a catalog first "
            "(lookstream produce DIR), or set data_dir"
        )
    name, config = settings.milvus.collection, milvus_config_of(settings)
    # What the rows say decides. The registry's word is older where a switch was cut short.
    metadata = live_metadata(config, name)
    bank = registry.get(current if metadata is None else metadata.bank_version)
    return open_collection(config, bank, name), registry


class CatalogIndex:
    """One catalog's index for one model. Thread-safe.

    Several processes may write, each to products of its own. What they write is taken to be known
    from the first use on: `close` it whenever products may have changed hands.

    A thread of the process that writes may copy the catalog meanwhile, to repartition it; this is
    the `index.lifecycle.repartition.Writer` that it copies beside.
    """

    def __init__(self, settings: Settings, model_id: str) -> None:
        self.registry = BankRegistry(settings.data_dir)
        self._settings = settings
        self._model_id = model_id
        self._collection: Collection | None = None
        self._lock = threading.RLock()
        """Held to open, to write and to switch; not to read."""
        self._written: set[str] | None = None
        """Products written since a copy began or last asked; None if none may go on."""
        self.writes = 0
        """How many items were written or removed since the process began."""

    def stored(self, product_ids: Sequence[str]) -> list[Item]:
        """All items of these products, tombstones too, with their vectors."""
        if not product_ids:
            return []
        ids = list(dict.fromkeys(product_ids))
        return self._ask(lambda collection: collection.get(ids, vectors=True), [])

    def write(self, items: Sequence[Item], gone: Sequence[Item] = ()) -> None:
        """Assign each item to its nearest prototype and write it; remove the items `gone`."""
        if not items and not gone:
            return
        with self._lock:
            self.writes += len(items) + len(gone)
            if self._written is not None:
                self._written.update(item.product_id for item in (*items, *gone))
            try:
                self._write(items, gone)
            except GenerationChanged:  # repartitioned, or another was first to write anything
                self.close()
                self._write(items, gone)

    def _write(self, items: Sequence[Item], gone: Sequence[Item]) -> None:
        vectors = np.stack([item.vector for item in items if item.vector is not None])
        collection = self.opened() or self._first(vectors)
        prototypes, _ = collection.bank.assign(vectors)
        collection.write(
            [
                item
                if item.is_tombstone
                else msgspec.structs.replace(item, prototype=int(prototype))
                for item, prototype in zip(items, prototypes, strict=True)
            ]
        )
        collection.delete([item.item_id for item in gone])

    def search(self, vectors: Sequence[NDArray[np.float32]], limit: int) -> Found:
        """The items nearest to each query vector, at most `limit` each."""
        nothing = Found([[] for _ in vectors], "")
        if not vectors:
            return nothing

        def found(collection: Collection) -> Found:
            hits = probe(collection, collection.bank, np.stack(vectors), limit)
            return Found(hits, collection.bank.version)

        return self._ask(found, nothing)

    def bank_version(self) -> str:
        """The bank that the catalog is assigned by; "" while there is nothing."""
        return self._ask(lambda collection: collection.bank.version, "")

    def sample(self, limit: int) -> Matrix:
        """The vectors of at most `limit` items from all over the catalog, (n, d)."""
        return self._ask(lambda collection: collection.sample(limit), np.zeros((0, 0), np.float32))

    def purge_tombstones(self, before_ns: int) -> int:
        """Remove tombstones written before a time (ns since the epoch); how many."""
        return self._ask(lambda collection: collection.purge_tombstones(before_ns), 0)

    def flush(self) -> None:
        """Make what was written cheap to search; it is safe already."""
        self._ask(lambda collection: collection.flush(), None)

    def count(self) -> int:
        """Items that can be found now."""
        return self._ask(lambda collection: collection.count(), 0)

    def content_hash(self) -> str:
        """Names what shoppers can see; "" while there is nothing. Reads every row."""
        return self._ask(lambda collection: collection.content_hash(), "")

    def close(self) -> None:
        """Let go of the connection, and of a copy under way; the next call opens it again."""
        with self._lock:
            self._written = None
            if self._collection is not None:
                self._collection.close()
                self._collection = None

    # A copy beside the writes.

    def begin_copy(self) -> Collection | None:
        """The collection to copy; from now on products that are written are remembered.

        None while there is nothing to copy. `close` ends the copy, for others may write then.
        """
        with self._lock:
            collection = self.opened()
            self._written = None if collection is None else set()
            return collection

    def end_copy(self) -> None:
        """Remember no more what is written."""
        with self._lock:
            self._written = None

    def take_written(self) -> set[str]:
        """Products that were written since the last call, or since the copy began.

        Raises:
            RepartitionCancelled: the index was closed meanwhile.
        """
        with self._lock:
            if self._written is None:
                raise RepartitionCancelled(
                    "the index was closed while the catalog was copied: others may have written"
                )
            written, self._written = self._written, set()
            return written

    @contextmanager
    def switching(self, successor: Collection) -> Iterator[None]:
        """Write nothing while inside; afterwards write to the successor.

        After an error it is for the alias to say which of the two is written to.
        """
        with self._lock:
            try:
                yield
            except BaseException:
                self.close()
                raise
            self._collection, self._written = successor, None

    def _ask(self, question: Callable[[Collection], T], nothing: T) -> T:
        """Ask the collection, opened again if need be; `nothing` before anything was written."""
        collection = self.opened()
        if collection is None:
            return nothing
        try:
            return question(collection)
        except GenerationChanged:
            with self._lock:
                if self._collection is collection:  # not if a copy has just taken its place
                    self.close()
            return self._ask(question, nothing)

    def opened(self) -> Collection | None:
        """The collection under its present bank; None before anything was ever written.

        Raises:
            ModelMismatch: it was made with another model.
        """
        with self._lock:
            if self._collection is None and self.registry.current() is not None:
                collection, _ = open_catalog(self._settings)
                if collection.bank.model_id != self._model_id:
                    collection.close()
                    raise ModelMismatch(misfit(collection.bank.model_id, self._model_id))
                self._collection = collection
            return self._collection

    def _first(self, vectors: NDArray[np.float32]) -> Collection:
        """The collection, with a first bank made from the first vectors."""
        bank = build(vectors, self._model_id)
        settings = self._settings
        collection = open_collection(milvus_config_of(settings), bank, settings.milvus.collection)
        self.registry.put(bank)
        self.registry.make_current(bank.version)
        log.info("first prototype bank", bank=bank.version, prototypes=len(bank))
        self._collection = collection
        return collection
