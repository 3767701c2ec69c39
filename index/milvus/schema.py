"""Items as Milvus rows: the schema, checks before writing, and conversion in both directions."""

from __future__ import annotations

import functools
import hashlib
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import orjson

from index.errors import ModelMismatch, RowRejected
from index.item import TOMBSTONE, Item, Vector, canonical_json
from index.milvus.metadata import CollectionMetadata
from index.vectors import NORM_TOLERANCE

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, DataType
    from pymilvus.milvus_client.index import IndexParams

MAX_ITEM_ID = 1024
MAX_PRODUCT_ID = 512
MAX_TEXT = 65_535
"""Bytes: the server's limit on a VARCHAR and on a JSON value."""
MAX_JUICE = 48 * 1024  # below that limit as base64 in JSON

ROW_FIELDS = [
    "row_id", "item_id", "product_id", "prototype", "payload", "offer", "versions", "digest",
    "juice", "model_id", "written_ns",
]  # fmt: skip


def schema(dim: int, *, partition_key: bool) -> CollectionSchema:
    """The fields of a generation; with `partition_key`, Milvus routes rows by their prototype."""
    from pymilvus import DataType, MilvusClient  # noqa: PLC0415  a second, see `index.milvus.client`

    fields = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    fields.add_field("row_id", DataType.VARCHAR, is_primary=True, max_length=64)
    fields.add_field("item_id", DataType.VARCHAR, max_length=MAX_ITEM_ID)
    fields.add_field("product_id", DataType.VARCHAR, max_length=MAX_PRODUCT_ID)
    fields.add_field(
        "prototype", DataType.INT64, **({"is_partition_key": True} if partition_key else {})
    )
    fields.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
    for name in ("payload", "offer", "versions"):
        fields.add_field(name, DataType.JSON)
    # Neither engine has a type for bytes. JSON, because pymilvus checks a VARCHAR by character.
    fields.add_field("juice", DataType.JSON)
    fields.add_field("digest", DataType.VARCHAR, max_length=256)
    fields.add_field("model_id", DataType.VARCHAR, max_length=256)
    fields.add_field("bank_version", DataType.VARCHAR, max_length=64)
    fields.add_field("written_ns", DataType.INT64)
    return fields


@functools.cache
def field_types(dim: int) -> Mapping[str, DataType]:
    """The type of each field of a row."""
    return {field.name: field.dtype for field in schema(dim, partition_key=False).fields}


def index_params() -> IndexParams:
    """Parameters of an index, to be filled in."""
    from pymilvus import MilvusClient  # noqa: PLC0415  as above

    return MilvusClient.prepare_index_params()


def row_id(item_id: str, copy: int) -> str:
    """The primary key of one copy of an item: only letters, digits and a dash."""
    return f"{hashlib.blake2b(item_id.encode(), digest_size=16).hexdigest()}-{copy}"


def to_row(
    item: Item,
    metadata: CollectionMetadata,
    prototypes: int,
    copy: int,
    *,
    vector_checked: bool = False,
) -> dict[str, Any]:
    """Check an item and convert it to a row under the primary key of this copy.

    `vector_checked` says that `vectors_fit` holds, which is quicker for many at once.

    Raises:
        RowRejected: the row can never be stored; the message says which item and why.
    """
    try:
        check_item(item, metadata.dim, prototypes, vector_checked=vector_checked)
    except RowRejected as error:
        raise RowRejected(f"item {item.item_id!r}: {error}") from error
    assert item.vector is not None  # noqa: S101 - checked by check_item
    return {
        "row_id": row_id(item.item_id, copy),
        "item_id": item.item_id,
        "product_id": item.product_id,
        "prototype": item.prototype,
        "vector": item.vector.astype(np.float32, copy=False),
        "payload": item.payload,
        "offer": item.offer,
        "versions": item.versions,
        "digest": item.digest,
        "juice": {"base64": b64encode(item.juice).decode()},
        "model_id": metadata.model_id,
        "bank_version": metadata.bank_version,
        "written_ns": time.time_ns(),
    }


def check_item(item: Item, dim: int, prototypes: int, *, vector_checked: bool = False) -> None:
    """Raise RowRejected for what Milvus would reject, truncate, or (NaN, on Lite) accept."""
    for name, limit in (("item_id", MAX_ITEM_ID), ("product_id", MAX_PRODUCT_ID), ("digest", 256)):
        text = getattr(item, name)
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise RowRejected(f"its {name} is not valid Unicode: {error}") from error
        if size > limit or (not text and name != "digest"):
            raise RowRejected(f"its {name} has {size} bytes; 1..{limit} are allowed")
    for name in ("payload", "offer", "versions"):
        size = len(canonical_json(getattr(item, name), name))
        if size > MAX_TEXT:
            raise RowRejected(f"its {name} has {size} bytes as JSON; at most {MAX_TEXT} fit")
    if len(item.juice) > MAX_JUICE:
        raise RowRejected(f"its juice has {len(item.juice)} bytes; at most {MAX_JUICE} fit")
    if not TOMBSTONE <= item.prototype < prototypes:
        raise RowRejected(f"prototype {item.prototype} is not in a bank of {prototypes}")
    if item.vector is None:
        raise RowRejected("it has no vector: read it with vectors=True before writing it back")
    if not vector_checked:
        check_vectors(item.vector[None], dim)


def vectors_fit(items: Iterable[Item], dim: int) -> bool:
    """Whether all items have a vector that can be stored; `check_item` says which has not."""
    vectors = [item.vector for item in items]
    if any(vector is None or vector.shape != (dim,) for vector in vectors):
        return False
    try:
        check_vectors(np.stack([vector for vector in vectors if vector is not None]), dim)
    except RowRejected:
        return False
    return True


def check_vectors(vectors: npt.NDArray[Any], dim: int) -> None:
    """Raise RowRejected unless (n, dim), finite, and of length one within 1e-3."""
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise RowRejected(f"vectors of shape {vectors.shape} where (n, {dim}) is wanted")
    if not np.isfinite(vectors).all():
        raise RowRejected("a vector holds NaN or infinity: the model or its input is broken")
    norms = np.linalg.norm(vectors, axis=1)
    if (np.abs(norms - 1) > NORM_TOLERANCE).any():
        worst = norms[np.abs(norms - 1).argmax()]
        raise RowRejected(f"a vector has length {worst:.4f}: ℓ2-normalise before writing")


def to_item(row: Mapping[str, Any], metadata: CollectionMetadata) -> Item:
    """Convert a row to an item, with its vector if the row has it.

    Raises:
        ModelMismatch: another model wrote this row.
    """
    if row["model_id"] != metadata.model_id:
        raise ModelMismatch(
            f"item {row['item_id']!r} was written by model {row['model_id']!r} into a collection "
            f"of {metadata.model_id!r}: write its product again"
        )
    vector: Vector | None = None
    if "vector" in row:
        vector = np.asarray(row["vector"], np.float32)
    return Item(
        item_id=row["item_id"],
        product_id=row["product_id"],
        prototype=row["prototype"],
        vector=vector,
        payload=row["payload"],
        offer=row["offer"],
        versions=row["versions"],
        digest=row["digest"],
        juice=b64decode(row["juice"]["base64"]),
    )


def any_of(field: str, values: Iterable[str]) -> str:
    """The filter `field in [...]`, with strings quoted for both engines."""
    return f"{field} in [{', '.join(orjson.dumps(value).decode() for value in values)}]"
