"""The one small interface to a catalog's rows: get, write, delete, search, count, scan.

A row whose place changes is written to its new place first and removed from the old one after: a
shopper sees the item all the time, and a writer that dies between the two leaves two copies, of
which `get` reads the older, so that the un-acknowledged event is applied again and finishes the
work. How prototypes become partitions, and when a place changes, is left to the two layouts,
`index.milvus.lite_layout` and `index.milvus.server_layout`.
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
from index.milvus.generation import Generation
from index.milvus.schema import ROW_FIELDS, check_vectors, to_item, to_row
from index.vectors import Matrix

COUNT_TTL_S = 10.0
SAMPLED_PROTOTYPES = 50
"""Prototypes that a sample is drawn from."""
QUERY_IDS = 500
"""Ids in one filter: keeps the expression small and the answer far below the message limit."""

Prototypes = Sequence[int] | npt.NDArray[np.integer[Any]]


class Collection(Generation):
    """A catalog's rows under one bank. Thread-safe.

    Several processes may write, each to products of its own; on Lite, a collection that was open
    while another process wrote a product must be opened anew before it writes that product.

    It can be opened before anything was written: searches then find nothing, and the first write
    makes the collection.
    """

    _counted_at = -COUNT_TTL_S
    _count = 0

    # What a layout decides.

    @abstractmethod
    def _rows(self, product_ids: Sequence[str], fields: list[str]) -> list[dict[str, Any]]:
        """All rows of some products, as of now."""

    @abstractmethod
    def _places(self, item_ids: Sequence[str]) -> Mapping[str, Iterable[str]]:
        """The row ids that some items have, as of now; those with none may be left out."""

    @abstractmethod
    def _copy(self, item: Item) -> int:
        """What tells the copies of an item apart in its row id; the same number, the same place."""

    @abstractmethod
    def _put(self, rows: list[dict[str, Any]]) -> None:
        """Insert rows, replacing those with the same row id."""

    @abstractmethod
    def _remove(self, row_ids: Sequence[str]) -> None:
        """Delete rows by primary key; unknown keys are no error."""

    @abstractmethod
    def _scope(self, prototypes: Prototypes | None) -> Mapping[str, Any]:
        """Search arguments that reach these prototypes (None: all of them) and no tombstone."""

    @abstractmethod
    def _search_options(self, limit: int) -> Mapping[str, Any]:
        """The rest of the search arguments."""

    @abstractmethod
    def _pages(self, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        """Every row, in pages."""

    @abstractmethod
    def _tombstones(self, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        """Every tombstone, in pages."""

    @abstractmethod
    def count(self) -> int:
        """Items that can be found, tombstones not counted; sees every acknowledged write."""

    @abstractmethod
    def flush(self) -> None:
        """Make what was written cheap to search. Durability does not depend on it."""

    # The interface.

    def get(self, product_ids: Sequence[str], vectors: bool = False) -> list[Item]:
        """All items of some products, tombstones included, sorted by item id; sees every write."""
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
        """Insert or replace items whole, moving those whose place changed.

        When it returns, the rows survive a crash of the store. Of several items with one id the
        last one counts.

        Raises:
            RowRejected: an item can never be stored; then none of them was.
        """
        rows = {
            item.item_id: to_row(item, self.metadata, len(self.bank), self._copy(item))
            for item in items
        }
        if not rows:
            return
        with self._lock:
            self.ensure_exists()
            left = [
                row_id
                for item_id, row_ids in self._places(list(rows)).items()
                for row_id in row_ids
                if row_id != rows[item_id]["row_id"]
            ]
            self._put(list(rows.values()))
            if left:
                self._remove(left)

    def delete(self, item_ids: Sequence[str]) -> None:
        """Remove items without a trace (see `index.item.tombstone`); unknown ids are no error."""
        with self._lock:
            if item_ids and self.exists():
                places = self._places(item_ids).values()
                if row_ids := [row_id for place in places for row_id in place]:
                    self._remove(row_ids)

    def purge_tombstones(self, before_ns: int) -> int:
        """Remove tombstones written before a time (ns since the epoch); says how many rows went.

        An event older than the delete could then raise its product again.
        """
        with self._lock:
            if not self.exists():
                return 0
            old = [
                row["row_id"]
                for page in self._tombstones(["row_id", "written_ns"])
                for row in page
                if row["written_ns"] < before_ns
            ]
            for start in range(0, len(old), QUERY_IDS):
                self._remove(old[start : start + QUERY_IDS])
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
            prototypes: for each query the prototypes to look in; a layout may look in more. None
                looks in all.

        Returns:
            For each query at most `limit` hits, without their vectors.
        """
        check_vectors(vectors, self.bank.dim)
        if not 1 <= limit <= 1000:
            raise RowRejected(f"limit {limit} is not in 1..1000")
        hits: list[list[Hit]] = [[] for _ in vectors]
        if not self.exists():
            return hits
        together: dict[bytes, tuple[Mapping[str, Any], list[int]]] = {}
        for query in range(len(vectors)):
            scope = self._scope(None if prototypes is None else prototypes[query])
            together.setdefault(orjson.dumps(scope), (scope, []))[1].append(query)
        for scope, queries in together.values():
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
        """What `count` said within the last ten seconds: counting walks every row on Lite."""
        if time.monotonic() - self._counted_at >= COUNT_TTL_S:
            self._count, self._counted_at = self.count(), time.monotonic()
        return self._count

    def scan(self, vectors: bool = False, tombstones: bool = False) -> Iterator[list[Item]]:
        """Every item in pages of no particular order, tombstones only where asked for."""
        if not self.exists():
            return
        fields = [*ROW_FIELDS, "vector"] if vectors else ROW_FIELDS
        for page in self._pages(fields):
            yield [
                to_item(row, self.metadata)
                for row in page
                if tombstones or row["prototype"] != TOMBSTONE
            ]

    def content_hash(self) -> str:
        """SHA-256 over every item sorted by id: equal exactly when shoppers see the same catalog.

        Versions, prototypes and tombstones are left out, so that sending everything again or
        re-keying changes nothing. Reads every row: 5 s for 20,000 on Lite.
        """
        with self._lock:  # a flush on Lite hides rows from readers for a moment
            digests = {
                item.item_id: content_digest(item)
                for page in self.scan(vectors=True)
                for item in page
            }
        whole = hashlib.sha256(self.metadata.model_id.encode())
        for item_id in sorted(digests):
            whole.update(digests[item_id])
        return whole.hexdigest()

    def _hits(self, answers: Iterable[Mapping[str, Any]]) -> list[Hit]:
        best: dict[str, Hit] = {}
        for answer in answers:
            item = to_item(answer["entity"], self.metadata)
            best.setdefault(item.item_id, Hit(item, float(answer["distance"])))
        return sorted(best.values(), key=lambda hit: (-hit.similarity, hit.item.item_id))
