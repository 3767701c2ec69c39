"""Re-keying: when the catalog has outgrown its bank, key it by a better one without a pause.

The new bank is built from the stored vectors, or given. The rows are copied into a new generation
beside the old one, then the catalog's alias moves to it in one step, and the old generation is
dropped. Searching processes notice within two seconds: their next call raises
`GenerationChanged`, upon which they load that bank from the shelf and open the collection again.

Only the process that writes to the collection may do this, and it must not write meanwhile. A crash
at any moment leaves the old generation in place or the new one complete; what is left over is swept
away by the next re-keying.
"""

import time
from collections.abc import Callable

import msgspec
import numpy as np
import structlog

from index.errors import ModelMismatch
from index.item import Item, Vector
from index.milvus.collection import Collection
from index.prototypes.bank import PrototypeBank
from index.prototypes.kmeans import build, default_prototypes
from index.prototypes.registry import BankRegistry
from index.vectors import Matrix, stack

SAMPLE = 200_000
"""Vectors that a bank is built from at most: 400 MB at 512-d."""

log = structlog.get_logger(__name__)


def outgrown(items: int, bank: PrototypeBank) -> bool:
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
    grace_s: float = 5.0,
    on_progress: Callable[[int], None] | None = None,
) -> Collection:
    """Key the catalog by another bank.

    Args:
        collection: the catalog; unusable afterwards, unless it is what is returned.
        shelf: keeps the new bank, and names it current.
        bank: the new one; by default it is built from the stored vectors.
        prototypes: how many to build; by default what suits the catalog's size.
        seed: of the k-means.
        grace_s: how long the old generation outlives the switch, for searches under way.
        on_progress: called with the number of rows copied so far.

    Returns:
        The catalog under its new bank; the same object if there is nothing to do.

    Raises:
        ModelMismatch: the bank is of another model's vectors.
    """
    sweep(collection)
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
    registry.put(bank)
    successor = type(collection)(collection.config, bank, collection.name, published=False)
    copied = 0
    for page in collection.scan(vectors=True, tombstones=True):
        successor.write(assigned(page, bank))
        copied += len(page)
        if on_progress is not None:
            on_progress(copied)
    successor.flush()
    successor.publish()
    registry.make_current(bank.version)
    log.info("catalog re-keyed", name=collection.name, bank=bank.version, rows=copied)
    time.sleep(grace_s)
    collection.close()
    sweep(successor)
    successor.drop(collection.generation)  # one that was promoted has a name of its own
    return successor


def assigned(items: list[Item], bank: PrototypeBank) -> list[Item]:
    """Items with the prototypes of another bank; tombstones stay tombstones."""
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


def sweep(collection: Collection) -> None:
    """Drop the generations of a catalog that its alias does not stand for."""
    for generation in collection.generations():
        if generation != collection.generation:
            collection.drop(generation)
