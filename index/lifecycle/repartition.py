"""Repartitioning: when a catalog has too few prototypes for its size, assign it to better ones.

The new bank is built from the stored vectors, or given. The rows are copied into a new generation
while searches and writes go on in the old one; products that were written meanwhile are copied
again, the last few of them while the writer waits; then the catalog's alias moves to the new
generation in one step, and the old one is dropped. Searching processes notice within two seconds:
their next call raises `GenerationChanged`, upon which they load that bank from the registry and
open the collection again.

Who writes meanwhile tells what it writes, in this process (`Writer`) or in others (`OtherWriters`).
A crash at any moment leaves the old generation in place or the new one complete; what is left over
is dropped by the next repartition. One process at a time does this (`index.lifecycle.locks`).
"""

import contextlib
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import msgspec
import numpy as np
import structlog

from index.errors import ModelMismatch, SearchIndexError
from index.item import Item, Vector
from index.lifecycle.locks import WriteGate
from index.lifecycle.switch import Wait, drop_replaced, switch
from index.milvus.collection import Collection
from index.milvus.table_rows import QUERY_IDS
from index.prototypes.bank import PrototypeBank
from index.prototypes.kmeans import build, default_prototypes
from index.prototypes.protocol import Bank
from index.prototypes.registry import BankRegistry
from index.vectors import Matrix, stack

SAMPLE = 200_000
"""Vectors that a bank is built from at most: 400 MB at 512-d."""
FEW = 64
"""Products that the writer may wait for while they are copied: a batch of them, some 0.1 s."""
ROUNDS = 10
"""How often to copy what was written during the last round. Each is shorter than the one before,
as long as copying is faster than writing; if it is not, the writer waits for the rest."""

log = structlog.get_logger(__name__)


class Writer(Protocol):
    """Whoever writes to a catalog while it is copied."""

    def take_written(self) -> set[str]:
        """Products that were written, or begun to be, since the last call or since the copy began.

        Raises:
            RepartitionCancelled: some may have been written that it does not know of.
        """

    def switching(self, successor: Collection) -> AbstractContextManager[None]:
        """Nothing is written while inside; left without an error, writes go to the successor."""


class OtherWriters:
    """Other processes write: the collection itself tells what, and the gate holds them up.

    Args:
        collection: what is copied.
        gate: that they write through.
    """

    def __init__(self, collection: Collection, gate: WriteGate) -> None:
        self._collection = collection.consistent()
        self._gate = gate
        self._seen: Any = None

    def take_written(self) -> set[str]:
        """Products that changed since the last call; at first, all that there are."""
        written = set[str]()
        while True:
            products, self._seen = self._collection.changes(self._seen)
            if not products:
                return written
            written.update(one.product_id for one in products)

    def switching(self, successor: Collection) -> AbstractContextManager[None]:
        """They wait, and find the successor when they go on."""
        return self._gate.closed()


class NoWriter:
    """Nobody writes: no worker knows of this catalog."""

    def take_written(self) -> set[str]:
        """Nothing."""
        return set()

    def switching(self, successor: Collection) -> AbstractContextManager[None]:
        """Nobody has to wait."""
        return nullcontext()


def needs_repartition(items: int, bank: Bank) -> bool:
    """Whether a catalog of this size should have at least twice the prototypes it has.

    Named prototypes stand for products, not for shares of the catalog: such a bank is kept up to
    date (`index.lifecycle.update_prototypes`), not replaced.
    """
    return not bank.named and default_prototypes(items) >= 2 * len(bank)


def repartition(
    collection: Collection,
    registry: BankRegistry,
    *,
    bank: PrototypeBank | None = None,
    prototypes: int | None = None,
    seed: int = 0,
    writer: Writer | None = None,
    keep: bool = False,
    grace_s: float | None = None,
    wait: Wait = time.sleep,
    on_progress: Callable[[int], None] = lambda rows: None,
) -> Collection:
    """Assign the catalog's items to the prototypes of another bank.

    Args:
        collection: the catalog; unusable afterwards, unless it is what is returned.
        registry: keeps the new bank, and names it current.
        bank: the new one; by default it is built from the stored vectors.
        prototypes: how many to build; by default what suits the catalog's size.
        seed: of the k-means.
        writer: who writes to the catalog meanwhile; nobody by default.
        keep: leave the old generation where it is; it needs an alias, or the next repartition drops
            it.
        grace_s: how long the old generation outlives the switch; `index.lifecycle.switch.GRACE_S`
            by default.
        wait: waits for so many seconds.
        on_progress: called with the number of rows copied so far.

    Returns:
        The catalog under its new bank; the same object if there is nothing to do.

    Raises:
        ModelMismatch: the bank is of another model's vectors.
        RepartitionCancelled: the writer is no longer the only one; the old generation stays.
    """
    writer = writer or NoWriter()
    collection.drop_leftovers()
    if bank is None:
        vectors = sample(collection, seed)
        if not len(vectors):
            return collection
        bank = build(vectors, collection.bank.model_id, prototypes, seed)
    if bank.model_id != collection.bank.model_id:
        raise ModelMismatch(
            f"the bank was made with model {bank.model_id!r} and the index with "
            f"{collection.bank.model_id!r}: make the bank with the index's model"
        )
    if bank.version == collection.bank.version:
        return collection
    if not collection.exists():
        return collection
    registry.put(bank)
    kept = registry.get(bank.version)  # as other processes will have it
    successor = type(collection)(collection.config, kept, collection.name, published=False)
    late = _copy(collection, successor, writer, on_progress)
    with writer.switching(successor):
        copy_products(collection, successor, late | writer.take_written())
        replaced = switch(successor, collection.name, registry)
    log.info("catalog repartitioned", name=collection.name, bank=bank.version)
    if replaced is not None and not keep:
        drop_replaced(successor, replaced, grace_s=grace_s, wait=wait)
    collection.close()
    return successor


def copy_products(source: Collection, target: Collection, product_ids: Iterable[str]) -> None:
    """Let the target hold of some products exactly what the source holds, tombstones included."""
    ids = sorted(product_ids)
    for start in range(0, len(ids), QUERY_IDS):
        some = ids[start : start + QUERY_IDS]
        items = source.get(some, vectors=True)
        kept = {item.item_id for item in items}
        gone = [item.item_id for item in target.get(some) if item.item_id not in kept]
        target.write(assigned(items, target.bank))
        target.delete(gone)


def assigned(items: list[Item], bank: Bank) -> list[Item]:
    """Items with the prototypes of another bank; tombstones stay tombstones."""
    if not items:
        return []
    nearest, _ = bank.assign(stack(items))
    return [
        item if item.is_tombstone else msgspec.structs.replace(item, prototype=int(prototype))
        for item, prototype in zip(items, nearest, strict=True)
    ]


def sample(collection: Collection, seed: int) -> Matrix:
    """At most `SAMPLE` stored vectors, chosen uniformly (reservoir sampling): (n, d)."""
    rng = np.random.default_rng(seed)
    kept: list[tuple[str, Vector]] = []
    seen = 0
    for page in collection.scan(vectors=True):
        for item, vector in zip(page, stack(page), strict=True):
            seen += 1
            if len(kept) < SAMPLE:
                kept.append((item.item_id, vector))
            elif (place := int(rng.integers(seen))) < SAMPLE:
                kept[place] = (item.item_id, vector)
    kept.sort(key=lambda pair: pair[0])  # so that the order of pages does not matter
    return np.stack([vector for _, vector in kept]) if kept else np.zeros((0, 0), np.float32)


def _copy(
    source: Collection, target: Collection, writer: Writer, on_progress: Callable[[int], None]
) -> set[str]:
    """Copy every row; returns the few products that were written since they were last copied."""
    try:
        target.ensure_exists()
        writer.take_written()  # what was written before the scan begins is found by it
        rows, late = 0, set[str]()
        for page in source.scan(vectors=True, tombstones=True):
            target.write(assigned(page, target.bank))
            rows += len(page)
            on_progress(rows)
            late |= writer.take_written()
        for _ in range(ROUNDS):
            if len(late) <= FEW:
                break
            copy_products(source, target, late)
            late = writer.take_written()
        target.flush()
    except Exception:
        with contextlib.suppress(SearchIndexError):  # else the next repartition drops it
            target.drop(target.generation)
        target.close()
        raise
    return late
