"""The layout on Milvus Lite: explicit partitions, writers that know their rows.

What decides a search's cost on Lite is the number of rows in scope, not the index: every search
walks all primary keys in scope in Python. So runs of neighbouring prototypes share a partition (at
most 64: each flush writes a file per partition) and a search names the partitions it wants. A
filter walks all rows too, 0.15 s at 20,000, and a look-up by primary key 10 ms; so a process that
writes keeps a directory of the rows' places (about 300 bytes each), read at its first write. It is
right for the products that no other process writes: open the collection anew to write others.

Lite's engine is not safe for writers beside each other, nor for a reader at the moment of a flush:
for the 50–300 ms in which the memtable is written out, its rows are found by nobody. Hence a lock
in each process, and a server that serves one request at a time (`index.milvus.lite_process`).
"""

import contextlib
import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from index.errors import SearchIndexError
from index.item import TOMBSTONE, Item
from index.milvus.collection import Collection, Prototypes
from index.milvus.config import MilvusConfig
from index.milvus.metadata import PROPERTY
from index.milvus.schema import any_of, index_params, schema
from index.prototypes.protocol import Bank

MAX_PARTITIONS = 64
MEMTABLE_BYTES = 8_000_000
"""Unflushed rows are laid out anew at each search: 3.7 s at 100,000 with Lite's own 128 MB."""

INDEX_TYPES = ("AUTOINDEX", "FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ")
"""Those that Lite really builds; it accepts others, reports success and searches without."""


def environment() -> dict[str, str]:
    """What must be in the environment before `milvus_lite` is imported, here or in its server."""
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
        self._directory: Directory | None = None
        self._idle: threading.Timer | None = None

    def _create(self) -> None:
        self._directory = None
        if not self._client.call("has_collection", self.generation):
            index = index_params()
            # FLAT, because in a scope small enough to walk an exact search costs nothing more.
            kind = "FLAT" if self.config.index_type == "AUTOINDEX" else self.config.index_type
            index.add_index("vector", index_type=kind, metric_type="COSINE")
            self._client.call(
                "create_collection",
                self.generation,
                schema=schema(self.bank.dim, partition_key=False),
                index_params=index,
                properties={PROPERTY: self.metadata.encoded()},
            )
        there = set(self._client.call("list_partitions", self.generation))
        for partition in [*self._partitions(range(len(self.bank))), self._partition(TOMBSTONE)]:
            if partition not in there:
                self._client.call("create_partition", self.generation, partition)

    def _rows(self, product_ids: Sequence[str], fields: list[str]) -> list[dict[str, Any]]:
        if self._directory is None:  # a process that only reads: another may write
            return self._query(any_of("product_id", product_ids), fields)
        products = self._directory.products
        ids = [row for product in set(product_ids) for row in products.get(product, ())]
        return self._query(any_of("row_id", ids), fields) if ids else []

    def _places(self, item_ids: Sequence[str]) -> Mapping[str, set[str]]:
        items = self._known().items
        return {item_id: set(items[item_id]) for item_id in item_ids if item_id in items}

    def _copy(self, item: Item) -> int:
        # Upsert replaces within a partition only, so the copies in two partitions are two rows.
        return item.prototype

    def _put(self, rows: list[dict[str, Any]]) -> None:
        by_partition: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            by_partition[self._partition(row["prototype"])].append(row)
        known, self._directory = self._known(), None  # unknown while only part of it is written
        for partition, part in by_partition.items():
            self._call("upsert", data=part, partition_name=partition)
        for row in rows:
            known.add(row["row_id"], row["item_id"], row["product_id"])
        self._directory = known
        self._flush_when_idle()

    def _remove(self, row_ids: Sequence[str]) -> None:
        known, self._directory = self._known(), None
        self._call("delete", filter=any_of("row_id", row_ids))
        for row in row_ids:
            known.discard(row)
        self._directory = known
        self._flush_when_idle()

    def _scope(self, prototypes: Prototypes | None) -> Mapping[str, Any]:
        wanted = range(len(self.bank)) if prototypes is None else prototypes
        return {"partition_names": self._partitions(wanted)}

    def _search_options(self, limit: int) -> Mapping[str, Any]:
        return {"search_params": {"metric_type": "COSINE", "params": {"ef": max(64, limit)}}}

    def _pages(self, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        # Each page of an iterator sorts all rows in scope, so go through small scopes.
        for partition in [*self._partitions(range(len(self.bank))), self._partition(TOMBSTONE)]:
            # "iterator" asks Lite for rows in the order of their keys.
            yield from self._iterate(fields, partition_names=[partition], iterator="True")

    def _tombstones(self, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        tombstones = [self._partition(TOMBSTONE)]
        return self._iterate(fields, partition_names=tombstones, iterator="True")

    def count(self) -> int:
        """Items that can be found, tombstones not counted; sees every acknowledged write."""
        if not self.exists():
            return 0
        with self._lock:
            stored = self._call("query", filter="", output_fields=["count(*)"])[0]["count(*)"]
            tombs = self._call("get_partition_stats", partition_name=self._partition(TOMBSTONE))
        return int(stored) - int(tombs["row_count"])

    def flush(self) -> None:
        """Write the memtable out, so that searches need not lay its rows out again."""
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
            if self.exists():
                self._call("flush")

    def close(self) -> None:
        """Let go of the connection; rows not flushed stay safe in Lite's log."""
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
        super().close()

    def _flush_when_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = threading.Timer(self.config.flush_idle_s, self._flush_if_there)
        self._idle.daemon = True
        self._idle.start()

    def _flush_if_there(self) -> None:
        with contextlib.suppress(
            SearchIndexError
        ):  # only speed is lost; the next write tries again
            self.flush()

    def _query(self, expression: str, fields: list[str]) -> list[dict[str, Any]]:
        return list(self._call("query", filter=expression, output_fields=fields))

    def _partition(self, prototype: int) -> str:
        if prototype == TOMBSTONE:
            return "buried"
        return f"p{prototype * min(len(self.bank), MAX_PARTITIONS) // len(self.bank)}"

    def _partitions(self, prototypes: Prototypes | range) -> list[str]:
        return sorted({self._partition(int(prototype)) for prototype in prototypes})

    def _known(self) -> "Directory":
        """The directory of this generation's rows, read from Milvus when we have none.

        Only for writing: it is right as long as nobody else writes the same products.
        """
        if self._directory is None:
            directory = Directory()
            for page in self._pages(["row_id", "item_id", "product_id"]):
                for row in page:
                    directory.add(row["row_id"], row["item_id"], row["product_id"])
            self._directory = directory
        return self._directory


class Directory:
    """Which rows an item and a product have."""

    def __init__(self) -> None:
        self.items: dict[str, set[str]] = defaultdict(set)
        self.products: dict[str, set[str]] = defaultdict(set)
        self._of_row: dict[str, tuple[str, str]] = {}

    def add(self, row: str, item_id: str, product_id: str) -> None:
        """Note a row; one that is known may have changed its product."""
        self.discard(row)
        self._of_row[row] = (item_id, product_id)
        self.items[item_id].add(row)
        self.products[product_id].add(row)

    def discard(self, row: str) -> None:
        """Forget a row, if it is known."""
        item_id, product_id = self._of_row.pop(row, (None, None))
        for rows, key in ((self.items, item_id), (self.products, product_id)):
            if key is not None:
                rows[key].discard(row)
                if not rows[key]:
                    del rows[key]
