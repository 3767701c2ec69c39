"""The table: what filters, facets and sorting need of every product, in columns in memory.

Each process that searches keeps one, filled from the collection when it is opened and brought up to
date before each search (`index.milvus.table_rows.TableRows.changes`). A product has one slot, so
that counts are of products, not of pictures; each of its items has a row with the key that Milvus
knows it by and, where the layout gives them (Milvus Lite), its vector, kept by prototype in
`index.search.cells`.

Why a table, and why this one: decision 27.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from index.item import Item, Vector
from index.search.cells import Cells, Opened
from index.search.columns import CategoryColumn, Column, Mask
from index.search.facets import Counted, Facet, count
from index.search.filter import AllOf, AnyOf, Field, Filter
from index.vectors import Matrix, Rows

NO_SLOT = -1
MAX_DESCRIPTION = 500
"""Characters of a description whose words are counted."""


class Words(Protocol):
    """What follows the words of the products: see `models.text.vocabulary.Vocabulary`."""

    def add(self, names: Sequence[str], description: str = "") -> None:
        """A product that is there now: its title, categories and attributes; its description."""
        ...

    def remove(self, names: Sequence[str], description: str = "") -> None:
        """What was added of a product that is gone, or has others now."""
        ...


class ItemRow(msgspec.Struct, frozen=True, eq=False):
    """One item of a product: its key in Milvus, and its vector where the layout has it at hand."""

    row_id: str
    vector: Vector | None = None
    prototype: int = 0


class ProductRows(msgspec.Struct, frozen=True, eq=False):
    """A product as it is stored now; without items it is gone."""

    product_id: str
    category: tuple[str, ...] = ()
    offer: dict[str, Any] = {}
    items: tuple[ItemRow, ...] = ()
    title: str = ""
    description: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All short texts that it has: title, categories, attributes."""
        attributes = (self.offer.get("attributes") or {}).values()
        return self.title, *self.category, *(one for one in attributes if isinstance(one, str))


class Table:
    """Products in columns; not thread-safe. `words`, if any, follow the products' texts."""

    def __init__(self, words: Words | None = None) -> None:
        self._words = words
        self._texts: dict[int, tuple[tuple[str, ...], str]] = {}
        """Names and description that `words` have of each slot."""
        self._slot_of: dict[str, int] = {}
        self._product_ids: list[str] = []
        self._alive = np.zeros(0, bool)
        self._free_slots: list[int] = []
        self._rows_of: list[list[int]] = []
        self._row_of: dict[str, int] = {}
        self._row_ids: list[str] = []
        self._slot_of_row = np.zeros(0, np.int64)
        self._free_rows: list[int] = []
        self._cells: Cells | None = None
        self._fields = {
            "category": CategoryColumn(),
            "price": Column(),
            "currency": Column(),
            "in_stock": Column(),
            "product_id": Column(),
        }
        self._attributes: dict[str, Column] = {}
        self._new: defaultdict[str, dict[int, Any]] = defaultdict(dict)
        self._new_attributes: defaultdict[str, dict[int, Any]] = defaultdict(dict)
        """What `apply` has yet to put into the columns, a column at a time: by name and slot."""
        self._has: list[tuple[str, ...]] = []
        """The names of the attributes in each slot."""

    def __len__(self) -> int:
        """How many products there are."""
        return len(self._slot_of)

    @property
    def items(self) -> int:
        """How many items they have."""
        return len(self._row_of)

    @property
    def has_vectors(self) -> bool:
        """Whether the vectors are here."""
        return self._cells is not None

    @classmethod
    def of(cls, items: Sequence[Item]) -> Table:
        """A table of some items, a product each, in slots 0, 1, …"""
        table = cls()
        products = [
            product_rows(item.product_id, [(str(number), item)])
            for number, item in enumerate(items)
        ]
        table.apply(
            [
                msgspec.structs.replace(one, product_id=str(number))
                for number, one in enumerate(products)
            ]
        )
        table._fields["product_id"].put(
            {number: one.product_id for number, one in enumerate(products)}
        )
        return table

    def apply(self, products: Sequence[ProductRows]) -> None:
        """Bring products up to date; those without items are taken out."""
        for product in products:
            self._put(product)
        for name, values in self._new.items():
            self._fields[name].put(values)
        for name, values in self._new_attributes.items():
            self._attributes.setdefault(name, Column()).put(values)
        self._new.clear()
        self._new_attributes.clear()
        for column in (*self._fields.values(), *self._attributes.values()):
            column.shrink()
        for name in [name for name, column in self._attributes.items() if column.empty]:
            del self._attributes[name]
        if self._cells is not None:
            self._cells.measure()

    def _put(self, product: ProductRows) -> None:
        """Put a product in place of what was there under its id; its fields are only noted."""
        slot = self._slot_of.get(product.product_id, NO_SLOT)
        if slot != NO_SLOT:
            self._drop_rows(slot)
        if not product.items:
            if slot != NO_SLOT:
                self._take_out(slot)
            return
        if slot == NO_SLOT:
            slot = self._new_slot(product.product_id)
        self._set_fields(slot, product)
        self._set_words(slot, product)
        for item in product.items:
            self._add_row(slot, item)

    def select(self, wanted: Filter | None) -> Mask:
        """Which slots hold a product that passes a filter, (slots,)."""
        size = len(self._product_ids)
        alive = self._alive[:size]
        return alive.copy() if wanted is None else alive & self._holds(wanted, size)

    def count(self, facets: Sequence[Facet], mask: Mask) -> list[Counted]:
        """Count facets over the products in a mask."""
        return [count(facet, self._column(facet.field), mask) for facet in facets]

    def prices(self, slots: Rows) -> NDArray[np.float64]:
        """The prices of some slots; NaN where there is none."""
        return self._fields["price"].numbers(len(self._product_ids))[slots]

    def product_id(self, slot: int) -> str:
        """The product in a slot."""
        return self._product_ids[slot]

    def row_id(self, row: int) -> str:
        """The key of a row in Milvus."""
        return self._row_ids[row]

    def row(self, row_id: str) -> int:
        """The row of a key in Milvus; `NO_SLOT` where there is none."""
        return self._row_of.get(row_id, NO_SLOT)

    def slots_of(self, rows: Rows) -> Rows:
        """The slots of some rows."""
        return self._slot_of_row[rows]

    def slots(self, product_ids: Sequence[str]) -> list[int]:
        """The slots of those of some products that are there."""
        return [self._slot_of[one] for one in product_ids if one in self._slot_of]

    def rows(self, mask: Mask) -> Rows:
        """The rows of the products in a mask, ascending."""
        size = len(self._row_ids)
        slots = self._slot_of_row[:size]
        found: Rows = np.flatnonzero((slots != NO_SLOT) & np.append(mask, False)[slots])
        return found

    def similarities(self, rows: Rows, vector: Vector) -> NDArray[np.float32]:
        """The cosines of some rows with a unit vector; only where the vectors are here."""
        assert self._cells is not None  # noqa: S101 - see `has_vectors`
        return self._cells.similarities(rows, vector)

    def vectors(self, rows: Rows) -> Matrix:
        """The vectors of some rows, (n, d); only where they are here."""
        assert self._cells is not None  # noqa: S101 - see `has_vectors`
        return self._cells.vectors(rows)

    def probe(self, vector: Vector, limit: int, mask: Mask, *, by_product: bool) -> Opened:
        """The rows nearest to a unit vector of the products in a mask; see `Cells.search`."""
        assert self._cells is not None  # noqa: S101 - see `has_vectors`
        slots = self._slot_of_row[: len(self._row_ids)]
        groups = slots if by_product else np.arange(len(slots))
        allowed = None if mask.sum() == len(self) else np.append(mask, False)[slots]
        return self._cells.search(vector, limit, groups, allowed)

    @property
    def cells(self) -> int:
        """How many cells the vectors lie in."""
        return 0 if self._cells is None else len(self._cells)

    def _holds(self, wanted: Filter, size: int) -> Mask:
        if isinstance(wanted, AllOf | AnyOf):
            masks = [self._holds(part, size) for part in wanted.parts]
            combined: Mask = (np.all if isinstance(wanted, AllOf) else np.any)(masks, axis=0)
            return combined
        return self._column(wanted.field).select(wanted, size)

    def _column(self, field: Field) -> Column:
        if not field.attribute:
            return self._fields[field.name]
        return self._attributes.get(field.name) or Column()

    def _set_fields(self, slot: int, product: ProductRows) -> None:
        offer, new = product.offer, self._new
        new["category"][slot] = product.category
        new["product_id"][slot] = product.product_id
        for name in ("price", "currency", "in_stock"):
            new[name][slot] = offer.get(name)
        attributes = offer.get("attributes") or {}
        for name in self._has[slot]:
            if name not in attributes:
                self._new_attributes[name][slot] = None
        for name, value in attributes.items():
            self._new_attributes[name][slot] = value
        self._has[slot] = tuple(attributes)

    def _set_words(self, slot: int, product: ProductRows | None) -> None:
        """The words of a slot in place of those that it had; None takes them away."""
        if self._words is None:
            return
        now = (product.names, product.description) if product else None
        before = self._texts.pop(slot, None)
        if before != now:
            if before:
                self._words.remove(*before)
            if now:
                self._words.add(*now)
        if now:
            self._texts[slot] = now

    def _new_slot(self, product_id: str) -> int:
        if self._free_slots:
            slot = self._free_slots.pop()
            self._product_ids[slot] = product_id
        else:
            slot = len(self._product_ids)
            self._product_ids.append(product_id)
            self._rows_of.append([])
            self._has.append(())
            if slot >= len(self._alive):
                self._alive = np.resize(self._alive, max(64, 2 * slot))
                self._alive[slot:] = False
        self._slot_of[product_id] = slot
        self._alive[slot] = True
        return slot

    def _take_out(self, slot: int) -> None:
        self._set_fields(slot, ProductRows(""))
        self._set_words(slot, None)
        self._new["product_id"][slot] = self._new["category"][slot] = None
        del self._slot_of[self._product_ids[slot]]
        self._product_ids[slot] = ""
        self._alive[slot] = False
        self._free_slots.append(slot)

    def _add_row(self, slot: int, item: ItemRow) -> None:
        if self._free_rows:
            row = self._free_rows.pop()
            self._row_ids[row] = item.row_id
        else:
            row = len(self._row_ids)
            self._row_ids.append(item.row_id)
            if row >= len(self._slot_of_row):
                self._slot_of_row = np.resize(self._slot_of_row, max(64, 2 * row))
                self._slot_of_row[row:] = NO_SLOT
        self._row_of[item.row_id] = row
        self._slot_of_row[row] = slot
        self._rows_of[slot].append(row)
        if item.vector is not None:
            if self._cells is None:
                self._cells = Cells(len(item.vector))
            self._cells.put(row, item.prototype, item.vector)

    def _drop_rows(self, slot: int) -> None:
        for row in self._rows_of[slot]:
            del self._row_of[self._row_ids[row]]
            if self._cells is not None:
                self._cells.drop(row)
            self._row_ids[row] = ""
            self._slot_of_row[row] = NO_SLOT
            self._free_rows.append(row)
        self._rows_of[slot] = []


def product_rows(product_id: str, items: Sequence[tuple[str, Item]]) -> ProductRows:
    """A product of its items and their keys in Milvus, tombstones left out."""
    alive = [(key, item) for key, item in items if not item.is_tombstone]
    if not alive:
        return ProductRows(product_id)
    first = alive[0][1]
    return ProductRows(
        product_id,
        tuple(first.payload.get("category", ())),
        first.offer,
        tuple(ItemRow(key, item.vector, item.prototype) for key, item in alive),
        first.payload.get("title") or "",
        (first.payload.get("description") or "")[:MAX_DESCRIPTION],
    )
