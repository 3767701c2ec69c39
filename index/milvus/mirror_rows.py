"""The columns of a mirror's rows: an item as bytes, and back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import orjson

from index.item import Item
from index.search.table import MAX_DESCRIPTION, ItemRow, ProductRows

Keyed = tuple[str, Item]
"""The key of a row in Milvus, and its item with vector."""
ItemColumns = tuple[str, str, str, int, bytes, bytes, bytes]
"""Id, product, row, prototype, fields for a table, vector, and what else there is."""
TableColumns = tuple[str, int, bytes, bytes]
"""Row, prototype, fields and vector."""


def columns_of(row_id: str, item: Item) -> ItemColumns:
    """The columns of an item."""
    payload = item.payload
    description = (payload.get("description") or "")[:MAX_DESCRIPTION]
    fields = orjson.dumps(
        [payload.get("category", ()), item.offer, payload.get("title") or "", description]
    )
    vector = b"" if item.vector is None else item.vector.astype("<f4").tobytes()
    rest = msgspec.msgpack.encode((payload, item.versions, item.digest, item.juice))
    return item.item_id, item.product_id, row_id, item.prototype, fields, vector, rest


def item_of(
    item_id: str, product_id: str, prototype: int, fields: bytes, rest: bytes, vector: bytes | None
) -> Item:
    """The item of its columns; without its vector where that is not given."""
    payload, versions, digest, juice = msgspec.msgpack.decode(rest)
    return Item(
        item_id=item_id,
        product_id=product_id,
        prototype=prototype,
        vector=np.frombuffer(vector, "<f4") if vector else None,
        payload=payload,
        offer=orjson.loads(fields)[1],
        versions=versions,
        digest=digest,
        juice=juice,
    )


def product_of(product_id: str, items: Sequence[TableColumns]) -> ProductRows:
    """What a table keeps of a product, of the columns of its items; without any, it is gone."""
    if not items:
        return ProductRows(product_id)
    category, offer, title, description = orjson.loads(items[0][2])
    rows = tuple(
        ItemRow(row_id, np.frombuffer(vector, "<f4"), prototype)
        for row_id, prototype, _, vector in items
    )
    return ProductRows(product_id, tuple(category), offer, rows, title, description)
