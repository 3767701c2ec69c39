"""The interface to a catalog's rows: get, write, delete, search, count, scan.

An item whose partition changes is inserted into the new one before it is deleted from the old one,
so that it can be found all the time. A writer that dies in between leaves two copies, of which
`get` reads the older one, so that the un-acknowledged event is applied again and the older copy
deleted. How prototypes map to partitions is left to the two layouts, `index.milvus.lite_layout` and
`index.milvus.server_layout`.
"""

import hashlib
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from index.errors import RowRejected
from index.item import TOMBSTONE, Hit, Item, content_digest
from index.milvus.schema import ROW_FIELDS, check_vectors, to_item, to_row, vectors_fit
from index.milvus.table_rows import QUERY_IDS, Prototypes, TableRows
from index.vectors import Matrix

COUNT_TTL_S = 10.0
"""Seconds for which a count is trusted: counting walks every row on Lite."""
SAMPLED_PROTOTYPES = 50
"""How many prototypes a sample is drawn from."""


class Collection(TableRows):
    """A catalog's rows under one bank. Thread-safe.

    Several processes may write, each to products of its own; on Lite, a collection that was open
    while another process wrote a product must be reopened before it writes that product.

    It can be opened before anything was written: searches then find nothing, and the first write
    creates the collection.
    """

    _counted_at = -COUNT_TTL_S
    _count = 0

    # Implemented by the layouts.

    @abstractmethod
    def _row_ids(self, item_ids: Sequence[str]) -> Mapping[str, Iterable[str]]:
        """The row ids of each item; items without rows may be left out."""

    @abstractmethod
    def _copy_number(self, item: Item) -> int:
        """Distinguishes copies of an item in their row ids; a row with the same id is replaced."""

    @abstractmethod
    def _insert(self, rows: list[dict[str, Any]], items: Sequence[Item]) -> None:
        """Insert the rows of items, or replace those with the same row id."""

    @abstractmethod
    def _delete_rows(self, row_ids: Sequence[str]) -> None:
        """Delete rows by primary key, if they exist."""

    @abstractmethod
    def _all_rows(self, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        """Every row, page by page."""

    @abstractmethod
    def _tombstone_rows(self, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        """Every tombstone, page by page."""

    @abstractmethod
    def count(self) -> int:
        """Number of items without tombstones; sees every acknowledged write."""

    @abstractmethod
    def flush(self) -> None:
        """Make recent writes cheap to search; they are durable without it."""

    # Common to both layouts.

    def warm_writing(self) -> None:
        """Read what writing needs, so that the first write does not wait for it."""

    def get(self, product_ids: Sequence[str], vectors: bool = False) -> list[Item]:
        """All items of some products with tombstones, by item id; sees every acknowledged write."""
        fields = [*ROW_FIELDS, "vector"] if vectors else ROW_FIELDS
        with self._lock:
            if not self.exists():
                return []
            rows = [
                row
                for start in range(0, len(product_ids), QUERY_IDS)
                for row in self._rows(product_ids[start : start + QUERY_IDS], fields)
            ]
        rows.sort(key=lambda row: (row["item_id"], row["written_ns"]))
        items: dict[str, Item] = {}
        for row in rows:
            items.setdefault(row["item_id"], to_item(row, self.metadata))
        return list(items.values())

    def write(self, items: Sequence[Item]) -> None:
        """Insert or replace items; durable when it returns. Of several with one id the last counts.

        Raises:
            RowRejected: an item can never be stored; then none of them was.
        """
        last = {item.item_id: item for item in items}
        if not last:
            return
        checked = vectors_fit(last.values(), self.metadata.dim)
        rows = {
            item_id: to_row(
                item,
                self.metadata,
                len(self.bank),
                self._copy_number(item),
                vector_checked=checked,
            )
            for item_id, item in last.items()
        }
        with self._lock:
            self.ensure_exists()
            stale = [
                row_id
                for item_id, row_ids in self._row_ids(list(rows)).items()
                for row_id in row_ids
                if row_id != rows[item_id]["row_id"]
            ]
            self._insert(list(rows.values()), list(last.values()))
            if stale:
                self._delete_rows(stale)

    def delete(self, item_ids: Sequence[str]) -> None:
        """Delete items, if they exist, without leaving a tombstone (see `index.item.tombstone`)."""
        with self._lock:
            if item_ids and self.exists():
                rows = self._row_ids(item_ids).values()
                if row_ids := [row_id for ids in rows for row_id in ids]:
                    self._delete_rows(row_ids)

    def purge_tombstones(self, before_ns: int) -> int:
        """Delete tombstones written before a time (ns since the epoch); returns how many rows.

        An event older than the delete can restore its product from then on.
        """
        with self._lock:
            if not self.exists():
                return 0
            old = [
                row["row_id"]
                for page in self._tombstone_rows(["row_id", "written_ns"])
                for row in page
                if row["written_ns"] < before_ns
            ]
            for start in range(0, len(old), QUERY_IDS):
                self._delete_rows(old[start : start + QUERY_IDS])
        return len(old)

    def search(
        self,
        vectors: npt.NDArray[np.float32],
        limit: int,
        prototypes: Sequence[Prototypes | None] | None = None,
    ) -> list[list[Hit]]:
        """The items nearest to each query, best first, ties by item id.

        Args:
            vectors: unit vectors of shape (n, d).
            limit: hits per query, 1..1000.
            prototypes: to search, for each query; a layout may search more. None searches all.

        Returns:
            For each query at most `limit` hits, without their vectors.
        """
        check_vectors(vectors, self.bank.dim)
        if not 1 <= limit <= 1000:
            raise RowRejected(f"limit {limit} is not in 1..1000")
        hits: list[list[Hit]] = [[] for _ in vectors]
        if not self.exists():
            return hits
        by_scope: dict[bytes, tuple[Mapping[str, Any], list[int]]] = {}
        for query in range(len(vectors)):
            scope = self._scope(None if prototypes is None else prototypes[query])
            by_scope.setdefault(orjson.dumps(scope), (scope, []))[1].append(query)
        for scope, queries in by_scope.values():
            found = self._call(
                "search",
                data=[vectors[query].tolist() for query in queries],
                anns_field="vector",
                limit=limit,
                output_fields=ROW_FIELDS,
                **scope,
                **self._search_options(limit),
            )
            for query, answers in zip(queries, found, strict=True):
                hits[query] = self._hits(answers)
        return hits

    def sample(self, limit: int) -> Matrix:
        """The vectors of at most `limit` items, (n, d), from prototypes all over the bank."""
        chosen = range(0, len(self.bank), -(-len(self.bank) // SAMPLED_PROTOTYPES))
        found: list[Sequence[float]] = []
        for prototype in chosen if self.exists() else ():
            scope = {"filter": f"prototype == {prototype}", **self._scope([prototype])}
            each = -(-limit // len(chosen))
            rows = self._call("query", output_fields=["vector"], limit=each, **scope)
            found += [row["vector"] for row in rows]
        return np.array(found[:limit], np.float32).reshape(-1, self.bank.dim)

    def recent_count(self) -> int:
        """`count`, at most `COUNT_TTL_S` seconds old."""
        if time.monotonic() - self._counted_at >= COUNT_TTL_S:
            self._count, self._counted_at = self.count(), time.monotonic()
        return self._count

    def scan(self, vectors: bool = False, tombstones: bool = False) -> Iterator[list[Item]]:
        """Every item, page by page in no particular order; tombstones only with `tombstones`."""
        if not self.exists():
            return
        fields = [*ROW_FIELDS, "vector"] if vectors else ROW_FIELDS
        for page in self._all_rows(fields):
            yield [
                to_item(row, self.metadata)
                for row in page
                if tombstones or row["prototype"] != TOMBSTONE
            ]

    def content_hash(self) -> str:
        """SHA-256 over every item sorted by id: equal exactly for equal catalogs.

        Versions, prototypes and tombstones are left out, so that neither sending everything again
        nor repartitioning changes it. Reads every row: 5 s for 20,000 on Lite.
        """
        with self._lock:  # during a flush on Lite, rows are invisible
            digests = {
                item.item_id: content_digest(item)
                for page in self.scan(vectors=True)
                for item in page
            }
        total = hashlib.sha256(self.metadata.model_id.encode())
        for item_id in sorted(digests):
            total.update(digests[item_id])
        return total.hexdigest()

    def _hits(self, answers: Iterable[Mapping[str, Any]]) -> list[Hit]:
        """One hit for each item, best first; an item may have two copies for a moment."""
        best: dict[str, Hit] = {}
        for answer in answers:
            item = to_item(answer["entity"], self.metadata)
            best.setdefault(item.item_id, Hit(item, float(answer["distance"])))
        return sorted(best.values(), key=lambda hit: (-hit.similarity, hit.item.item_id))
