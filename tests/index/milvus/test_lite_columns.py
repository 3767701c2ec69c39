"""Rows that the server takes in by columns are those that Lite would have stored."""

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from milvus_lite.adapter.grpc import server
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.db import MilvusLite
from milvus_lite.storage.memtable import MemTable
from pymilvus.client.prepare import Prepare
from pymilvus.grpc_gen import milvus_pb2

from index.item import Item
from index.milvus import lite_server
from index.milvus.column_client import upsert_request
from index.milvus.lite_columns import ColumnServicer, build_data_table, write_data_file
from index.milvus.metadata import CollectionMetadata
from index.milvus.schema import field_types, schema, to_row
from tests.index.conftest import unit_vectors

VECTORS = unit_vectors(30)
DIM = VECTORS.shape[1]
NAMES = ("columns", "plain")
CONTEXT = SimpleNamespace(invocation_metadata=lambda: ())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[MilvusLite]:
    """With two collections of our schema."""
    opened = MilvusLite(str(tmp_path / "lite"))
    servicer = MilvusServicer(opened)
    for name in NAMES:
        fields = Prepare.get_schema_from_collection_schema(name, schema(DIM, partition_key=False))
        request = milvus_pb2.CreateCollectionRequest(
            collection_name=name, schema=fields.SerializeToString()
        )
        assert servicer.CreateCollection(request, CONTEXT).code == 0
    yield opened
    opened.close()


def rows(numbers: range, title: str = "Größe é") -> list[dict[str, Any]]:
    """Rows as they are written, with the same time."""
    described = CollectionMetadata(model_id="m", bank_version="b", dim=DIM)
    items = [
        Item(
            item_id=f"i{n}",
            product_id=f"p{n}",
            prototype=n % 3,
            vector=VECTORS[n],
            payload={"title": title},
            offer={"price": n / 3},
            juice=b"juice",
        )
        for n in numbers
    ]
    return [to_row(item, described, 3, item.prototype) | {"written_ns": 5} for item in items]


def send(servicer: MilvusServicer, name: str, some: list[dict[str, Any]], **fields: Any) -> Any:
    """What the server answers to an upsert."""
    request = upsert_request(name, some, field_types(DIM), "")
    for field, value in fields.items():
        setattr(request, field, value)
    return servicer.Upsert(request, CONTEXT)


def stored(database: MilvusLite, name: str) -> list[dict[str, Any]]:
    """All rows of a collection, with the texts of JSON read."""
    servicer = MilvusServicer(database)
    request = milvus_pb2.QueryRequest(collection_name=name, expr="", output_fields=["*"])
    request.query_params.add(key="limit", value="1000")
    answer = servicer.Query(request, CONTEXT)
    assert answer.status.code == 0, answer.status.reason
    columns: dict[str, list[Any]] = {}
    for data in answer.fields_data:
        if data.HasField("vectors"):
            flat = np.array(data.vectors.float_vector.data, np.float32)
            columns[data.field_name] = flat.reshape(-1, DIM).tolist()
        else:
            values = getattr(data.scalars, str(data.scalars.WhichOneof("data"))).data
            columns[data.field_name] = [
                one.replace(b": ", b":") if isinstance(one, bytes) else one for one in values
            ]
    found = [dict(zip(columns, one, strict=True)) for one in zip(*columns.values(), strict=True)]
    return sorted(found, key=lambda row: str(row["item_id"]))


def test_the_installed_lite_is_the_one_that_it_was_written_for() -> None:
    assert metadata.version("milvus-lite") == lite_server.WRITTEN_FOR


def test_another_lite_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lite_server, "WRITTEN_FOR", "9.9")
    before = server.MilvusServicer
    with pytest.raises(SystemExit):
        lite_server.main(["--help"])
    assert server.MilvusServicer is before
    assert "it writes slowly" in capsys.readouterr().out


def test_the_rows_are_the_same(database: MilvusLite) -> None:
    for name, servicer in zip(
        NAMES, (ColumnServicer(database), MilvusServicer(database)), strict=True
    ):
        for some in (rows(range(20)), rows(range(10, 30), "later")):
            answer = send(servicer, name, some)
            assert answer.upsert_cnt == 20
            assert list(answer.IDs.str_id.data) == [row["row_id"] for row in some]
    assert stored(database, "columns") == stored(database, "plain")
    assert len(stored(database, "columns")) == 30
    for name in NAMES:
        database.get_collection(name).flush()
    assert stored(database, "columns") == stored(database, "plain")


def test_rows_outlive_a_server_that_is_killed(database: MilvusLite, tmp_path: Path) -> None:
    send(ColumnServicer(database), "columns", rows(range(5)))
    expected = stored(database, "columns")
    log = Path(database.get_collection("columns").data_dir)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in (tmp_path / "lite").rglob("*"):
        target = copy / file.relative_to(tmp_path / "lite")
        target.mkdir(parents=True) if file.is_dir() else target.write_bytes(file.read_bytes())
    assert [*log.rglob("*.arrow")]
    again = MilvusLite(str(copy))
    assert stored(again, "columns") == expected
    again.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda request: request.fields_data.pop(),
        lambda request: setattr(request, "num_rows", 4),
        lambda request: setattr(request, "partition_name", "nowhere"),
        lambda request: setattr(request, "collection_name", "nowhere"),
        lambda request: setattr(request.fields_data[4].vectors, "dim", DIM - 1),
        lambda request: request.fields_data[1].scalars.string_data.data.__setitem__(0, "x" * 2000),
    ],
)
def test_what_lite_refuses_is_refused_as_it_does(database: MilvusLite, spoil: Any) -> None:
    request = upsert_request("columns", rows(range(3)), field_types(DIM), "")
    spoil(request)
    answer = ColumnServicer(database).Upsert(request, CONTEXT)
    assert answer.status.code != 0
    assert answer == MilvusServicer(database).Upsert(request, CONTEXT)
    assert stored(database, "columns") == []


def test_a_table_is_written_and_read_as_lite_does(database: MilvusLite, tmp_path: Path) -> None:
    servicer = ColumnServicer(database)
    send(servicer, "columns", rows(range(10)))
    send(servicer, "columns", rows(range(5, 15), "later"))
    memtable = database.get_collection("columns")._memtable
    chosen = [(0, 1), (1, 9), (0, 4)]
    table = build_data_table(memtable, chosen)
    assert table == MemTable._build_data_table(memtable, chosen)
    name = write_data_file(table, str(tmp_path / "part"), 3, 9)
    assert name == "data/data_000003_000009.parquet"
    assert pq.read_table(tmp_path / "part" / name) == table
