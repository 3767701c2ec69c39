"""The layout on Milvus Lite: explicit partitions, and a directory of row ids in each writer.

Queries do not search here: processes that search have the vectors in memory, by prototype
(`index.search.cells`), and read rows from the mirror. So all items lie in one partition, and the
tombstones in another: with 64, each batch was 64 requests and each flush 64 files. Collections that
were made so keep them.

A filter walks all rows, 0.15 s at 20,000, and a look-up by primary key takes 2 ms; so a process
that writes keeps a directory of row ids (about 300 bytes a row), read at its first write. It stays
right for the products that no other process writes: reopen the collection to write others.

Lite does not support concurrent writers, nor reads during a flush: while the memtable is written
out (50–300 ms) its rows are invisible. Hence a lock in each process, and a server with one worker
thread (`index.milvus.lite_process`).
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from index.errors import GenerationChanged, SearchIndexError
from index.item import TOMBSTONE, Item
from index.milvus.collection import Collection
from index.milvus.config import MilvusConfig
from index.milvus.metadata import PROPERTY, resolve_alias
from index.milvus.mirror import Mirror
from index.milvus.mirror_files import (
    delete_mirror,
    is_marked_replaced,
    mark_replaced,
    unmark_replaced,
)
from index.milvus.mirror_rows import Keyed
from index.milvus.schema import ROW_FIELDS, any_of, field_types, index_params, schema, to_item
from index.milvus.table_rows import QUERY_IDS, Prototypes
from index.prototypes.protocol import Bank
from index.search.table import ProductRows

PARTITIONS = 1
"""Of the items of a new collection."""
MEMTABLE_BYTES = 32_000_000
"""Some 5,200 rows of 768 values. Nothing else is answered while they are written out, 0.1 s. Fewer
at once make smaller files, which Lite merges more often."""

INDEX_TYPES = ("AUTOINDEX", "FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ")
"""Those that Lite really builds; for others it reports success and searches without an index."""


def environment() -> dict[str, str]:
    """The environment that `milvus_lite` must be imported in, here or in its server."""
    return {"MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES": str(MEMTABLE_BYTES)}


class LiteCollection(Collection):
    """A catalog on Milvus Lite, through its server or (one process only) from a path."""

    def __init__(
        self, config: MilvusConfig, bank: Bank, name: str, *, published: bool = True
    ) -> None:
        if config.index_type not in INDEX_TYPES:
            raise SearchIndexError(
                f"Milvus Lite does not build {config.index_type}: use {', '.join(INDEX_TYPES)}"
            )
        if "://" not in config.uri:
            for variable, value in environment().items():
                os.environ.setdefault(variable, value)
        super().__init__(config, bank, name, published=published)
        self._directory: RowDirectory | None = None
        self._mirrors = None if config.mirror_dir is None else Path(config.mirror_dir)
        self._opened_mirror: Mirror | None = None
        self._idle: threading.Timer | None = None
        self._partition_count = 0
        """How many partitions have items; 0 while it is not known."""

    def _create(self) -> None:
        self._directory = None
        if not self._client.call("has_collection", self.generation):
            self._client.call(
                "create_collection",
                self.generation,
                schema=schema(self.bank.dim, partition_key=False),
                properties={PROPERTY: self.metadata.encoded()},
            )
        if not self._client.call("list_indexes", self.generation):
            index = index_params()
            # FLAT: where scopes are small, an exact search costs nothing more.
            kind = "FLAT" if self.config.index_type == "AUTOINDEX" else self.config.index_type
            index.add_index("vector", index_type=kind, metric_type="COSINE")
            # sync=False: the client would look for half a second whether it is there.
            self._client.call("create_index", self.generation, index, sync=False)
        self._client.call("load_collection", self.generation)
        existing = set(self._client.call("list_partitions", self.generation))
        self._partition_count = _of_items(existing) or PARTITIONS
        for partition in [*self._partitions(range(len(self.bank))), self._partition(TOMBSTONE)]:
            if partition not in existing:
                self._client.call("create_partition", self.generation, partition)

    def _rows(self, product_ids: Sequence[str], fields: list[str]) -> list[dict[str, Any]]:
        if self._directory is None:  # this process only reads; others may write
            return self._query(any_of("product_id", product_ids), fields)
        products = self._directory.products
        ids = [row for product in set(product_ids) for row in products.get(product, ())]
        return self._query(any_of("row_id", ids), fields) if ids else []

    def _row_ids(self, item_ids: Sequence[str]) -> Mapping[str, set[str]]:
        items = self._writer_directory().items
        return {item_id: set(items[item_id]) for item_id in item_ids if item_id in items}

    def _copy_number(self, item: Item) -> int:
        # An upsert replaces within a partition only: copies in two partitions need two row ids.
        return item.prototype

    def _insert(self, rows: list[dict[str, Any]], items: Sequence[Item]) -> None:
        by_partition: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            by_partition[self._partition(row["prototype"])].append(row)
        # Without a directory meanwhile: after an error only some partitions may be written.
        directory, self._directory = self._writer_directory(), None
        with self._mirrored(row["product_id"] for row in rows) as mirror:
            for partition, part in by_partition.items():
                self._call(
                    "upsert_columns",
                    rows=part,
                    types=field_types(self.bank.dim),
                    partition_name=partition,
                )
            if mirror:
                mirror.put([(row["row_id"], item) for row, item in zip(rows, items, strict=True)])
        for row in rows:
            directory.add(row["row_id"], row["item_id"], row["product_id"])
        self._directory = directory
        self._flush_when_idle()

    def _delete_rows(self, row_ids: Sequence[str]) -> None:
        directory, self._directory = self._writer_directory(), None
        with self._mirrored(directory.products_of(row_ids)) as mirror:
            self._call("delete", filter=any_of("row_id", row_ids))
            if mirror:
                mirror.remove(row_ids)
        for row in row_ids:
            directory.discard(row)
        self._directory = directory
        self._flush_when_idle()

    def _scope(self, prototypes: Prototypes | None) -> Mapping[str, Any]:
        wanted = range(len(self.bank)) if prototypes is None else prototypes
        return {"partition_names": self._partitions(wanted)}

    def _search_options(self, limit: int) -> Mapping[str, Any]:
        return {"search_params": {"metric_type": "COSINE", "params": {"ef": max(64, limit)}}}

    def _key_scope(self, row_ids: Sequence[str]) -> Mapping[str, Any]:
        # A look-up walks every key in scope; the copy number of a row is its prototype.
        return {
            "partition_names": self._partitions([int(one.rpartition("-")[2]) for one in row_ids])
        }

    def consistent(self) -> Self:
        """The collection itself: nothing on Lite is seen late."""
        return self

    def changes(self, since: int | None) -> tuple[list[ProductRows], int]:
        """See `Collection.changes`: reads the mirror, which has every acknowledged write."""
        with self._lock:
            if not self.exists():
                return [], 0
            mirror = self._mirror()
            if mirror is None:
                raise SearchIndexError("this collection has no mirror: set mirror_dir")
            return mirror.changes(since or 0)

    def unchanged(self, since: int | None) -> bool:
        """See `TableRows.unchanged`: `fetch` and the table read the same mirror."""
        with self._lock:
            mirror = self._opened_mirror
            return mirror is not None and mirror.last_change() == (since or 0)

    def publish(self, name: str | None = None) -> str | None:
        """See `Generation.publish`; those who follow the mirror of the one before are told first.

        They need not ask Milvus before each search then, which would wait behind writes.
        """
        before = resolve_alias(self._client, name or self.name)
        if before is not None and self._mirrors is not None:
            mark_replaced(self._mirrors, before.generation)
        replaced = super().publish(name)
        if self._mirrors is not None:
            unmark_replaced(self._mirrors, self.generation)
        return replaced

    def exists(self, *, now: bool = False) -> bool:
        """See `Generation.exists`; who follows a mirror need not wait for Milvus to answer it.

        Who drops a generation or moves its alias says so beside the mirror first.
        """
        if now or not self._exists or self._opened_mirror is None:
            return super().exists(now=now)
        mirror = self._opened_mirror
        replaced = is_marked_replaced(mirror.path.parent, self.generation)
        return super().exists(now=True) if replaced or not mirror.is_there() else True

    def fetch(self, row_ids: Sequence[str], vectors: bool = False) -> dict[str, Item]:
        """The items of some rows by row id, from the mirror where there is one."""
        with self._lock:
            mirror = self._mirror() if self.exists() else None
            if mirror is not None:
                return mirror.fetch(row_ids, vectors=vectors)
        return super().fetch(row_ids, vectors)

    def drop(self, generation: str) -> None:
        """Drop a generation, all its rows, and its mirror."""
        super().drop(generation)
        if self._mirrors is not None:
            delete_mirror(self._mirrors, generation)

    def warm_writing(self) -> None:
        """Read the directory, open the mirror, and delete copies that a killed writer left."""
        with self._lock:
            if self.exists():
                self._mirror()
                # Copies are of other processes: once read, the directory knows all of this one.
                old = self._old_copies() if self._directory is None else []
                for start in range(0, len(old), QUERY_IDS):
                    self._delete_rows(old[start : start + QUERY_IDS])

    def _old_copies(self) -> list[str]:
        """Rows of items that have a newer one."""
        several = (rows for rows in self._writer_directory().items.values() if len(rows) > 1)
        ids = [row for rows in several for row in rows]
        found = list[dict[str, Any]]()
        for start in range(0, len(ids), QUERY_IDS):
            expression = any_of("row_id", ids[start : start + QUERY_IDS])
            found += self._query(expression, ["row_id", "item_id", "written_ns"])
        found.sort(key=lambda row: int(row["written_ns"]))
        newest = {row["item_id"]: row["row_id"] for row in found}
        return [row["row_id"] for row in found if newest[row["item_id"]] != row["row_id"]]

    def _mirror(self) -> Mirror | None:
        """The mirror, built where it is missing or incomplete; None where none is wanted."""
        if self._mirrors is None:
            return None
        if self._opened_mirror is None:
            mirror = Mirror(self._mirrors, self.generation, self._keyed_rows)
            mirror.build(self.count, self._keyed_pages)
            self._opened_mirror = mirror
        elif not self._opened_mirror.is_there():  # damaged, or dropped and written again
            raise GenerationChanged(
                f"the mirror of {self.generation!r} was made anew: open it again", self.bank.version
            )
        return self._opened_mirror

    @contextlib.contextmanager
    def _mirrored(self, product_ids: Iterable[str]) -> Iterator[Mirror | None]:
        """Around a write of these products to Milvus and then to the mirror, if there is one."""
        mirror = self._mirror()
        writing: AbstractContextManager[None] = (
            mirror.writing(product_ids) if mirror else contextlib.nullcontext()
        )
        with writing:
            yield mirror

    def _keyed_rows(self, product_ids: Sequence[str]) -> list[Keyed]:
        rows = self._query(any_of("product_id", product_ids), [*ROW_FIELDS, "vector"])
        rows.sort(key=lambda row: int(row["written_ns"]))  # of two copies the newer one counts
        return [(row["row_id"], to_item(row, self.metadata)) for row in rows]

    def _keyed_pages(self) -> Iterator[list[Keyed]]:
        for page in self._all_rows([*ROW_FIELDS, "vector"]):
            yield [(row["row_id"], to_item(row, self.metadata)) for row in page]

    def _all_rows(self, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        # Each page of an iterator sorts all rows in scope, so go through small scopes.
        for partition in [*self._partitions(range(len(self.bank))), self._partition(TOMBSTONE)]:
            # "iterator" asks Lite for rows in the order of their keys.
            yield from self._iterate(fields, partition_names=[partition], iterator="True")

    def _tombstone_rows(self, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        tombstones = [self._partition(TOMBSTONE)]
        return self._iterate(fields, partition_names=tombstones, iterator="True")

    def count(self) -> int:
        """Number of items without tombstones; sees every acknowledged write."""
        if not self.exists():
            return 0
        with self._lock:
            stored = self._call("query", filter="", output_fields=["count(*)"])[0]["count(*)"]
            tombstones = self._partition(TOMBSTONE)
            stats = self._call("get_partition_stats", partition_name=tombstones)
        return int(stored) - int(stats["row_count"])

    def flush(self) -> None:
        """Write the memtable to a segment, so that searches need not convert its rows."""
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
            if self.exists():
                self._call("flush")

    def close(self) -> None:
        """Close the connection; unflushed rows are durable in Lite's log."""
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
            if self._opened_mirror is not None:
                self._opened_mirror.close()
                self._opened_mirror = None
        super().close()

    def _flush_when_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = threading.Timer(self.config.flush_idle_s, self._flush_if_there)
        self._idle.daemon = True
        self._idle.start()

    def _flush_if_there(self) -> None:
        # Without a flush searches are slow; the next write schedules another.
        with contextlib.suppress(SearchIndexError):
            self.flush()

    def _query(self, expression: str, fields: list[str]) -> list[dict[str, Any]]:
        return list(self._call("query", filter=expression, output_fields=fields))

    def _partition(self, prototype: int) -> str:
        if prototype == TOMBSTONE:
            return "buried"  # stored in every catalog: a new name would lose their tombstones
        if not self._partition_count and self._exists:
            existing = self._client.call("list_partitions", self.generation)
            self._partition_count = _of_items(existing)
        count = min(len(self.bank), self._partition_count or PARTITIONS)
        return f"p{prototype * count // len(self.bank)}"

    def _partitions(self, prototypes: Prototypes | range) -> list[str]:
        return sorted({self._partition(int(prototype)) for prototype in prototypes})

    def _writer_directory(self) -> RowDirectory:
        """The directory of this generation's rows, read from Milvus at the first call.

        Right as long as no other process writes the same products.
        """
        if self._directory is None:
            directory = RowDirectory()
            for page in self._all_rows(["row_id", "item_id", "product_id"]):
                for row in page:
                    directory.add(row["row_id"], row["item_id"], row["product_id"])
            self._directory = directory
        return self._directory


def _of_items(partitions: Iterable[str]) -> int:
    """How many partitions have items; Lite has one more by default, and there are tombstones."""
    return sum(re.fullmatch(r"p\d+", one) is not None for one in partitions)


class RowDirectory:
    """Row ids by item and by product."""

    def __init__(self) -> None:
        self.items: dict[str, set[str]] = defaultdict(set)
        self.products: dict[str, set[str]] = defaultdict(set)
        self._of_row: dict[str, tuple[str, str]] = {}

    def add(self, row: str, item_id: str, product_id: str) -> None:
        """Add a row, or change its item and product."""
        self.discard(row)
        self._of_row[row] = (item_id, product_id)
        self.items[item_id].add(row)
        self.products[product_id].add(row)

    def products_of(self, rows: Iterable[str]) -> set[str]:
        """The products of some rows."""
        return {self._of_row[row][1] for row in rows if row in self._of_row}

    def discard(self, row: str) -> None:
        """Remove a row, if it is there."""
        item_id, product_id = self._of_row.pop(row, (None, None))
        for rows, key in ((self.items, item_id), (self.products, product_id)):
            if key is not None:
                rows[key].discard(row)
                if not rows[key]:
                    del rows[key]
