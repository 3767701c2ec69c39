"""A catalog's index in a worker: opened when there is one, reopened when it was repartitioned.

The first bank is built from the first items; when the catalog needs more prototypes, the ingest
worker repartitions it while it writes (`workers.index_maintenance`), and readers follow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from index.errors import GenerationChanged, ModelMismatch, RepartitionCancelled
from index.item import Hit, Item
from index.lifecycle.locks import WriteGate, one_change
from index.milvus.collection import Collection
from index.milvus.open import live_metadata, open_collection
from index.prototypes.kmeans import build
from index.prototypes.registry import BankRegistry
from index.search.probe import probe
from index.search.retrieve import Request, Retrieved, Retriever
from index.vectors import Matrix
from models.text.vocabulary import Vocabulary
from workers.config.settings import Settings
from workers.config.wiring import milvus_config_of
from workers.errors import SettingsError
from workers.model_fit import misfit

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """What was retrieved for each request, and from where: both "" before there is an index."""

    retrieved: list[Retrieved]
    bank_version: str = ""
    generation: str = ""


def current_bank(settings: Settings) -> str:
    """The version of the current bank; raises SettingsError where nothing was ever indexed."""
    version = BankRegistry(settings.data_dir).current()
    if version is None:
        raise SettingsError(
            f"there is no index in {settings.data_dir} yet: produce a catalog first "
            "(lookstream produce DIR), or set data_dir"
        )
    return version


def open_catalog(settings: Settings) -> tuple[Collection, BankRegistry]:
    """The catalog's collection, of any model, and the registry of its banks.

    Raises:
        SettingsError: nothing was ever indexed here.
        BankError: the bank of the collection is not in `data_dir`.
    """
    registry = BankRegistry(settings.data_dir)
    current = current_bank(settings)
    name, config = settings.milvus.collection, milvus_config_of(settings)
    # The collection's metadata decides: after an interrupted switch the registry is outdated.
    metadata = live_metadata(config, name)
    bank = registry.get(current if metadata is None else metadata.bank_version)
    return open_collection(config, bank, name), registry


class CatalogIndex:
    """One catalog's index for one model. Thread-safe.

    Several processes may write, each to products of its own. Rows are cached from the first use
    on: `close` it whenever products may have moved from one process to another.

    While this process writes, one of its threads may copy the catalog to repartition it: this is
    the `index.lifecycle.repartition.Writer` for it. Another process may put a generation in the
    place of the live one at any time, between two writes (`index.lifecycle.locks`).

    `empty_vocabulary` makes what follows the words of the catalog, for those who need them.
    """

    def __init__(
        self,
        settings: Settings,
        model_id: str,
        empty_vocabulary: Callable[[], Vocabulary | None] = lambda: None,
    ) -> None:
        self.registry = BankRegistry(settings.data_dir)
        self._settings = settings
        self._model_id = model_id
        self._collection: Collection | None = None
        self._retriever: Retriever | None = None
        self._empty_vocabulary = empty_vocabulary
        self._vocabulary: Vocabulary | None = None
        """Of the products in the retriever's table."""
        self._gate = WriteGate(settings.data_dir)
        self._lock = threading.RLock()
        """Held while opening, writing and switching; not while reading. Taken after the gate."""
        self.openings = 0
        """How often a generation was opened or switched to: what was read before may be stale."""
        self._written: set[str] | None = None
        """Products written since `begin_copy` or the last `take_written`; None without a copy."""
        self.writes = 0
        """Items written or deleted so far."""

    def stored(self, product_ids: Sequence[str]) -> list[Item]:
        """All items of these products with vectors, tombstones included."""
        if not product_ids:
            return []
        ids = list(dict.fromkeys(product_ids))
        return self._call(lambda collection: collection.get(ids, vectors=True), [])

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around reading products and writing what is made of them: all in one generation.

        Raises:
            ModelMismatch: one of another model has taken its place.
        """
        with self._gate.writing():
            with self._lock:
                collection = self.opened()
                try:
                    if collection is not None:
                        collection.exists(now=True)
                except GenerationChanged:
                    self.close()
                    self.opened()
            yield

    def write(self, items: Sequence[Item], gone: Sequence[Item] = ()) -> None:
        """Assign each item to its nearest prototype and write it; delete the items `gone`."""
        if not items and not gone:
            return
        with self.writing(), self._lock:
            self.writes += len(items) + len(gone)
            if self._written is not None:
                self._written.update(item.product_id for item in (*items, *gone))
            try:
                self._write(items, gone)
            except GenerationChanged:  # repartitioned, or another process wrote first
                self.close()
                self._write(items, gone)

    def warm_writing(self) -> None:
        """Read what the first write needs, so that it does not wait for that."""
        self._call(lambda collection: collection.warm_writing(), None)

    def _write(self, items: Sequence[Item], gone: Sequence[Item]) -> None:
        # Without items where a batch comes again that was written, but whose `gone` were not.
        collection = self._write_items(items) if items else self.opened()
        if collection:
            collection.delete([item.item_id for item in gone])

    def _write_items(self, items: Sequence[Item]) -> Collection:
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
        return collection

    def find(self, requests: Sequence[Request]) -> Found:
        """Answer the requests of queries; called from one thread at a time."""
        if not requests:
            return Found([])

        def found(collection: Collection) -> Found:
            retrieved = self._retriever_of(collection).retrieve(requests)
            return Found(retrieved, collection.bank.version, collection.generation)

        return self._call(found, Found([Retrieved() for _ in requests]))

    def nearest(self, vectors: NDArray[np.float32], limit: int) -> list[list[Hit]]:
        """The items nearest to each vector (n, d), 1..1000, by probing: `find` without its table.

        Slower than that on Milvus Lite, and for who does not search all day.
        """
        return self._call(
            lambda collection: probe(collection, collection.bank, vectors, limit),
            [[] for _ in vectors],
        )

    def first_items(self, product_ids: Sequence[str]) -> dict[str, Item]:
        """The first item of each of these products that is there, with its vector."""
        if not product_ids:
            return {}

        def first(collection: Collection) -> dict[str, Item]:
            return self._retriever_of(collection).first_items(product_ids)

        return self._call(first, {})

    def vocabulary(self) -> Vocabulary | None:
        """The words of the catalog as it is now; None where they are not followed.

        Called from the thread that calls `find`.
        """

        def refreshed(collection: Collection) -> Vocabulary | None:
            self._retriever_of(collection).refresh()
            return self._vocabulary

        return self._call(refreshed, None)

    def warm(self) -> None:
        """Fill the table that `find` needs, so that the first query does not wait for it."""
        self._call(lambda collection: self._retriever_of(collection).refresh(), None)

    def follow(self) -> bool:
        """Take in some of what was written, if that costs Milvus nothing; whether there is more.

        So that a query after many writes need not. Called from the thread that calls `find`.
        """
        return self._call(lambda collection: self._retriever_of(collection).follow(), False)

    def _retriever_of(self, collection: Collection) -> Retriever:
        if self._retriever is None or self._retriever.collection is not collection:
            self._vocabulary = self._empty_vocabulary()
            self._retriever = Retriever(collection, self._vocabulary)
        return self._retriever

    def bank_version(self) -> str:
        """The version of the catalog's bank; "" before there is one."""
        return self._call(lambda collection: collection.bank.version, "")

    def sample(self, limit: int) -> Matrix:
        """The vectors of at most `limit` items from all over the catalog, (n, d)."""
        return self._call(lambda collection: collection.sample(limit), np.zeros((0, 0), np.float32))

    def purge_tombstones(self, before_ns: int) -> int:
        """Delete tombstones written before a time (ns since the epoch); returns how many."""
        return self._call(lambda collection: collection.purge_tombstones(before_ns), 0)

    def flush(self) -> None:
        """Make recent writes cheap to search; they are durable without it."""
        self._call(lambda collection: collection.flush(), None)

    def count(self) -> int:
        """Number of items, without tombstones."""
        return self._call(lambda collection: collection.count(), 0)

    def recent_count(self) -> int:
        """`count`, some seconds old."""
        return self._call(lambda collection: collection.recent_count(), 0)

    def content_hash(self) -> str:
        """Equal for equal catalogs; "" before there is one. Reads every row."""
        return self._call(lambda collection: collection.content_hash(), "")

    def close(self) -> None:
        """Close the connection and cancel a copy; the next call opens the collection again."""
        with self._lock:
            self._written = self._retriever = None
            if self._collection is not None:
                self._collection.close()
                self._collection = None

    # For a copy while writing.

    def begin_copy(self) -> Collection | None:
        """The collection to copy, None if there is none; records written products from now on.

        `close` cancels the copy, since other processes may write then.
        """
        with self._lock:
            collection = self.opened()
            self._written = None if collection is None else set()
            return collection

    def end_copy(self) -> None:
        """Stop recording written products."""
        with self._lock:
            self._written = None

    def take_written(self) -> set[str]:
        """Products written since the last call, or since `begin_copy`.

        Raises:
            RepartitionCancelled: the index was closed meanwhile.
        """
        with self._lock:
            if self._written is None:
                raise RepartitionCancelled(
                    "the index was closed during the copy: other processes may have written to it"
                )
            written, self._written = self._written, set()
            return written

    def changing(self) -> AbstractContextManager[None]:
        """While inside, no other process changes the generations of this catalog.

        Raises:
            ChangeUnderWay: another does.
        """
        return one_change(self._settings.data_dir)

    @contextmanager
    def switching(self, successor: Collection) -> Iterator[None]:
        """Blocks writes; afterwards they go to the successor.

        After an exception the alias decides which of the two is opened next.
        """
        with self._gate.closed(), self._lock:
            try:
                yield
            except BaseException:
                self.close()
                raise
            self._collection, self._written = successor, None
            self.openings += 1

    def _call(self, method: Callable[[Collection], T], default: T) -> T:
        """Apply a method to the collection, reopened if needed; `default` if there is none."""
        collection = self.opened()
        if collection is None:
            return default
        try:
            return method(collection)
        except GenerationChanged:
            with self._lock:
                if self._collection is collection:  # unless a copy has just replaced it
                    self.close()
            return self._call(method, default)

    def opened(self) -> Collection | None:
        """The collection, opened if needed; None before anything was ever written.

        Raises:
            ModelMismatch: it holds vectors of another model.
        """
        with self._lock:
            if self._collection is None and self.registry.current() is not None:
                collection, _ = open_catalog(self._settings)
                if collection.bank.model_id != self._model_id:
                    collection.close()
                    raise ModelMismatch(misfit(collection.bank.model_id, self._model_id))
                self._collection = collection
                self.openings += 1
            return self._collection

    def _first(self, vectors: NDArray[np.float32]) -> Collection:
        """The collection, with a first bank that is built from the first vectors."""
        bank = build(vectors, self._model_id)
        settings = self._settings
        collection = open_collection(milvus_config_of(settings), bank, settings.milvus.collection)
        self.registry.put(bank)
        self.registry.make_current(bank.version)
        log.info("first prototype bank", bank=bank.version, prototypes=len(bank))
        self._collection = collection
        self.openings += 1
        return collection
