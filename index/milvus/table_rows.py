"""What a table of products, and the retrieval that uses it, read of a collection.

That is what changed, rows by their keys, and the keys that are nearest to a query.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from index.item import TOMBSTONE, Item
from index.milvus.generation import Generation
from index.milvus.schema import ROW_FIELDS, any_of, to_item
from index.search.table import ProductRows, product_rows

QUERY_IDS = 500
"""Ids in one filter: keeps the response far below the limit of a message."""
MAX_HITS = 16_384
"""The most hits of one search that Milvus gives."""
TABLE_FIELDS = ["row_id", "item_id", "product_id", "prototype", "payload", "offer", "written_ns"]
"""What a table of products needs of a row."""

Prototypes = Sequence[int] | npt.NDArray[np.integer[Any]]


class TableRows(Generation):
    """The rows of a generation as tables and their retrieval read them. Thread-safe."""

    # Implemented by the layouts.

    @abstractmethod
    def changes(self, since: Any) -> tuple[list[ProductRows], Any]:
        """Products that changed since a call, as they are now, and what to hand in next.

        The first call hands in None and gets every product. Where more are left, the next call has
        them: go on until one has none.
        """

    @abstractmethod
    def unchanged(self, since: Any) -> bool:
        """Whether it is certain that `changes` would have nothing; where that is not cheap, no."""

    @abstractmethod
    def consistent(self) -> Self:
        """The same collection, whose searches and reads see every acknowledged write."""

    @abstractmethod
    def _key_scope(self, row_ids: Sequence[str]) -> Mapping[str, Any]:
        """Arguments of a query for rows by their ids."""

    @abstractmethod
    def _rows(self, product_ids: Sequence[str], fields: list[str]) -> list[dict[str, Any]]:
        """All rows of some products; sees every acknowledged write."""

    @abstractmethod
    def _scope(self, prototypes: Prototypes | None) -> Mapping[str, Any]:
        """Search arguments for these prototypes (None: all of them), without tombstones."""

    @abstractmethod
    def _search_options(self, limit: int) -> Mapping[str, Any]:
        """All other search arguments."""

    # Common to both layouts.

    def nearest(self, vector: npt.NDArray[np.float32], limit: int) -> list[tuple[str, float]]:
        """Row ids and cosines of the rows nearest to a unit vector, best first; nothing else.

        Args:
            vector: (d,).
            limit: how many, 1..`MAX_HITS`.
        """
        if not self.exists():
            return []
        [found] = self._call(
            "search",
            data=[vector.tolist()],
            anns_field="vector",
            limit=limit,
            output_fields=["row_id"],
            **self._scope(None),
            **self._search_options(limit),
        )
        return [(one["entity"]["row_id"], float(one["distance"])) for one in found]

    def fetch(self, row_ids: Sequence[str], vectors: bool = False) -> dict[str, Item]:
        """The items of some rows by row id; those that are gone are left out."""
        fields = [*ROW_FIELDS, "vector"] if vectors else ROW_FIELDS
        return {
            row["row_id"]: to_item(row, self.metadata)
            for row in self._by_key(row_ids, fields)
            if row["prototype"] != TOMBSTONE
        }

    def fetch_vectors(self, row_ids: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """The vectors of some rows by row id; those that are gone are left out."""
        return {
            row["row_id"]: np.asarray(row["vector"], np.float32)
            for row in self._by_key(row_ids, ["row_id", "vector"])
        }

    def products(self, product_ids: Sequence[str], vectors: bool = False) -> list[ProductRows]:
        """Products as Milvus has them now, each once; without items if it is gone."""
        fields = [*TABLE_FIELDS, "vector"] if vectors else TABLE_FIELDS
        with self._lock:  # during a flush on Lite, rows are invisible
            rows = [
                row
                for start in range(0, len(product_ids), QUERY_IDS)
                for row in self._rows(product_ids[start : start + QUERY_IDS], fields)
            ]
        return self._grouped(product_ids, rows)

    def _grouped(
        self, product_ids: Iterable[str], rows: Iterable[Mapping[str, Any]]
    ) -> list[ProductRows]:
        """Rows by product; of two copies of an item the newer one counts."""
        of_product: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
        for row in sorted(rows, key=lambda row: int(row["written_ns"])):
            items = of_product[row["product_id"]]
            if row["prototype"] == TOMBSTONE:
                items.clear()  # a delete is of the whole product
            else:
                items[row["item_id"]] = row
        return [
            product_rows(
                one,
                [
                    (items[item_id]["row_id"], table_item(items[item_id]))
                    for item_id in sorted(items)
                ],
            )
            for one in dict.fromkeys(product_ids)
            for items in (of_product.get(one, {}),)
        ]

    def _by_key(self, row_ids: Sequence[str], fields: list[str]) -> Iterator[Mapping[str, Any]]:
        for start in range(0, len(row_ids), QUERY_IDS):
            some = row_ids[start : start + QUERY_IDS]
            with self._lock:  # as above
                found = self._call(
                    "query",
                    filter=any_of("row_id", some),
                    output_fields=fields,
                    **self._key_scope(some),
                )
            yield from found


def table_item(row: Mapping[str, Any]) -> Item:
    """What a table needs of a row, as an item."""
    return Item(
        item_id=row["item_id"],
        product_id=row["product_id"],
        prototype=row["prototype"],
        vector=np.asarray(row["vector"], np.float32) if "vector" in row else None,
        payload=row["payload"],
        offer=row["offer"],
    )
