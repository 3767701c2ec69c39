"""Milvus Lite's server takes rows in by columns.

Lite takes rows apart: every value of a vector becomes a Python object, is checked, and once more
becomes one when the memtable is written out, so that a row of 768 values costs 0.36 ms of core
time. A message brings columns, and Arrow wants columns. Here those that are plain go from one to
the other as they are (0.03 ms); whatever is not plain, Lite's own way is taken, with its messages.
Log, files and order of events stay Lite's.

This reaches into the inside of the version of Lite that `index.milvus.lite_server` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from milvus_lite.adapter.grpc import server
from milvus_lite.adapter.grpc.errors import success_status_kwargs
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.constants import DATA_FILE_TEMPLATE, DEFAULT_PARTITION, SEQ_FORMAT_WIDTH
from milvus_lite.engine import compaction, flush
from milvus_lite.engine.collection import Collection
from milvus_lite.engine.operation import InsertOp
from milvus_lite.schema.types import DataType
from milvus_lite.storage.memtable import MemTable
from milvus_lite.storage.paths import persisted_rel_path
from pymilvus.grpc_gen import common_pb2, milvus_pb2

FLOAT_BYTES = 4


class ColumnServicer(MilvusServicer):  # type: ignore[misc]  # Lite has no types
    """Lite's answers to requests, where an upsert of plain rows is not taken apart."""

    def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802  gRPC's name
        """See Lite's own; an upsert of whole rows is an insert, of which the newest counts."""
        try:
            collection = self._get_collection(request, context)
            partition = request.partition_name or DEFAULT_PARTITION
            columns = columns_of(collection, request) if _is_plain(collection, partition) else None
        except Exception:
            columns = None  # Lite's own way has a message for it
        if columns is None:
            return super().Upsert(request, context)
        count, first = request.num_rows, collection._next_seq
        collection._next_seq += count
        columns["_seq"] = pa.array(np.arange(first, first + count, dtype=np.uint64))
        columns["_partition"] = pa.array([partition] * count, pa.string())
        fields = collection._wal_data_schema
        try:
            batch = pa.RecordBatch.from_arrays([columns[n] for n in fields.names], schema=fields)
            collection._apply(InsertOp(partition=partition, batch=batch))
            if collection._should_flush():
                collection._trigger_flush()
        except Exception as error:  # as in Lite's own
            return milvus_pb2.MutationResult(
                status=common_pb2.Status(code=common_pb2.UnexpectedError, reason=str(error))
            )
        return milvus_pb2.MutationResult(
            status=common_pb2.Status(**success_status_kwargs()),
            IDs=self._build_ids_proto(columns[collection._pk_name].to_pylist(), collection),
            upsert_cnt=count,
            succ_index=range(count),
        )


def columns_of(collection: Collection, request: Any) -> dict[str, pa.Array] | None:
    """The columns of a request as Arrow's; None if not all of them are there and plain."""
    sent = {data.field_name: data for data in request.fields_data}
    if len(sent) != len(request.fields_data) or len(sent) != len(collection.schema.fields):
        return None
    columns: dict[str, pa.Array] = {}
    for field in collection.schema.fields:
        column = _column(field, sent[field.name]) if field.name in sent else None
        if column is None or len(column) != request.num_rows or sent[field.name].valid_data:
            return None
        columns[field.name] = column
    return columns


def _is_plain(collection: Collection, partition: str) -> bool:
    """Whether Lite does nothing to the rows of a collection, and the partition is there."""
    schema = collection.schema
    return (
        not (schema.enable_dynamic_field or schema.functions)
        and not any(
            one.nullable or one.auto_id or one.is_partition_key or one.default_value is not None
            for one in schema.fields
        )
        and collection.has_partition(partition)
    )


def _column(field: Any, data: Any) -> pa.Array | None:
    """A column in Arrow's form; None if it is of another type or has what Lite refuses."""
    scalars = data.scalars
    if field.dtype == DataType.FLOAT_VECTOR:
        return _vectors(data, field.dim)
    if field.dtype == DataType.VARCHAR:
        texts = list(scalars.string_data.data)
        return pa.array(texts, pa.string()) if _fit(texts, field.max_length) else None
    if field.dtype == DataType.INT64:
        return pa.array(list(scalars.long_data.data), pa.int64())
    if field.dtype == DataType.JSON:
        values = list(scalars.json_data.data)
        objects = all(value.startswith(b"{") for value in values)
        return pa.array(values, pa.binary()).cast(pa.string()) if objects else None
    return None


def _fit(texts: Sequence[str], limit: int | None) -> bool:
    return limit is None or max(map(len, texts), default=0) <= limit


def _vectors(data: Any, dim: int) -> pa.Array | None:
    """The vectors of a column, read from its bytes: as floats they take twelve times as long.

    The message `FloatArray` has one field, packed, so its bytes end with the values.
    """
    values = len(data.vectors.float_vector.data)
    if data.vectors.dim != dim or values % dim:
        return None
    packed = data.vectors.float_vector.SerializeToString()
    flat = np.frombuffer(packed[len(packed) - values * FLOAT_BYTES :], "<f4")
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), dim)


def build_data_table(self: MemTable, rows: Sequence[tuple[int, int]]) -> pa.Table:
    """In place of `MemTable._build_data_table`: rows by number of batch and row, as a table."""
    starts = np.cumsum([0, *(batch.num_rows for batch in self._insert_batches)])
    chosen = [int(starts[batch]) + row for batch, row in rows]
    whole = pa.Table.from_batches(self._insert_batches).select(self._data_schema.names)
    return whole.take(pa.array(chosen, pa.int64())).combine_chunks()


def write_data_file(table: pa.Table, partition_dir: str, seq_min: int, seq_max: int) -> str:
    """In place of `data_file.write_data_file`, without dictionaries.

    Vectors and juice do not repeat: a dictionary of them takes six times as long, to be dropped.
    """
    name = DATA_FILE_TEMPLATE.format(min=seq_min, max=seq_max, w=SEQ_FORMAT_WIDTH)
    folder = Path(partition_dir, "data")
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name, use_dictionary=False, compression="none")
    return str(persisted_rel_path("data", name))


def by_columns() -> None:
    """Let this process' Lite take rows in by columns."""
    MemTable._build_data_table = build_data_table
    flush.write_data_file = compaction.write_data_file = write_data_file
    server.MilvusServicer = ColumnServicer
