"""Each format of records, and what of them becomes an event, nothing, or an error with a remedy."""

import base64
from typing import Any

import orjson
import pytest

from models.catalog.sources.formats import ForeignRecord, TopicFormat, read_foreign
from models.catalog.sources.mapping import SourceMapping, read_mapping
from models.errors import CatalogError, MappingError

FIELDS = {"product_id": "id", "title": "name", "description": "descr", "price": "price"}
SOURCE = {"connector": "postgresql", "lsn": 42, "ts_ms": 1}
ROW = {"id": 7, "name": "Oat milk", "descr": "large", "price": "2.50"}
UNAVAILABLE = "__debezium_unavailable_value"


def mapping(when: dict[str, str | None] | None = None, **fields: Any) -> SourceMapping:
    return read_mapping({**FIELDS, **fields}, when or {})


def read(
    value: Any,
    key: Any = None,
    given: TopicFormat = TopicFormat.AUTO,
    by: SourceMapping | None = None,
    **headers: Any,
) -> Any:
    record = ForeignRecord(
        key=orjson.dumps(key) if key is not None else None,
        value=None if value is None else orjson.dumps(value),
        headers=headers,
    )
    mapped = read_foreign(record, by or mapping(), given)
    return mapped and mapped.fields


def envelope(op: str, after: Any = None, before: Any = None) -> dict[str, Any]:
    return {"op": op, "before": before, "after": after, "source": SOURCE, "ts_ms": 99}


UPSERT = {
    "type": "upsert",
    "product_id": "7",
    "version": 42,
    "title": "Oat milk",
    "description": "large",
    "price": "2.50",
}
DELETE = {"type": "delete", "product_id": "7", "version": 42}


@pytest.mark.parametrize("op", ["c", "u"])
def test_an_envelope_is_ordered_by_its_sequence_number(op: str) -> None:
    assert read(envelope(op, ROW), {"id": 7}) == UPSERT
    assert read({"schema": None, "payload": envelope(op, ROW)}, {"id": 7}) == UPSERT


def test_a_row_of_a_snapshot_is_ordered_by_its_time() -> None:
    """A change that was not committed when it was read has a smaller number, and is newer."""
    by_time = {name: one for name, one in UPSERT.items() if name != "version"}
    assert read(envelope("r", ROW), {"id": 7}) == by_time
    assert read({**ROW, "__op": "r", "__lsn": 42, "__deleted": "false"}) == by_time


@pytest.mark.parametrize("given", [TopicFormat.DEBEZIUM, TopicFormat.CLOUDEVENTS])
def test_a_tombstone_after_an_event_of_a_delete_is_nothing(given: TopicFormat) -> None:
    assert read(None, {"id": 7}, given) is None


def test_a_flattened_row_has_a_version_only_if_its_delete_has_one() -> None:
    by_time = {name: one for name, one in UPSERT.items() if name != "version"}
    assert read({**ROW, "__op": "u", "__lsn": 42}) == by_time  # deletes are tombstones
    assert read(ROW, {"id": 7}, __op="u", __lsn="42") == UPSERT
    assert read(None, {"id": 7}, __op="d", __lsn="42") == DELETE


def test_columns_beside_the_key_of_a_deleted_row_are_not_believed() -> None:
    """Of a row of which only the key is logged, what is never null has a default."""
    key_only = {"id": 7, "name": "", "number": 0, "changes": 1, "published": True}
    gone = envelope("d", before=key_only)
    assert read(gone, {"id": 7}, by=mapping(version="changes")) == {
        "type": "delete",
        "product_id": "7",
    }
    with pytest.raises(CatalogError, match=r"product_id.*`number`.*REPLICA IDENTITY FULL"):
        read(gone, {"id": 7}, by=mapping(product_id="number"))


def test_a_delete_needs_the_key_alone() -> None:
    key_only = {"id": 7, "name": None, "price": None, "descr": None}
    assert read(envelope("d", before=key_only), {"id": 7}) == DELETE
    assert read(envelope("d"), {"id": 7}) == DELETE
    with pytest.raises(CatalogError, match=r"product_id.*`name`.*REPLICA IDENTITY FULL"):
        read(envelope("d", before=key_only), {"id": 7}, by=mapping(product_id="name"))


@pytest.mark.parametrize(
    "key", [{"id": 7}, "7", 7, {"schema": {"type": "struct"}, "payload": {"id": 7}}]
)
def test_a_tombstone_deletes_what_its_key_names(key: Any) -> None:
    assert read(None, key) == {"type": "delete", "product_id": "7"}


@pytest.mark.parametrize("value", [b"null", b'{"schema":{"type":"struct"},"payload":null}'])
def test_a_tombstone_may_be_written_as_null(value: bytes) -> None:
    mapped = read_foreign(ForeignRecord(key=b'{"id":7}', value=value), mapping())
    assert mapped is not None
    assert mapped.fields == {"type": "delete", "product_id": "7"}


def test_a_tombstone_whose_key_says_nothing_is_refused() -> None:
    with pytest.raises(CatalogError, match="neither key nor value"):
        read(None)
    with pytest.raises(CatalogError, match="no column `id`; there are `number`"):
        read(None, {"number": 7})


def test_a_message_is_nothing_and_a_truncate_refused() -> None:
    assert read({"op": "m", "source": SOURCE, "message": {"prefix": "x"}}) is None
    with pytest.raises(CatalogError, match=r"truncated.*FILE --complete.*skipped.operation"):
        read(envelope("t"))


def test_a_row_that_is_left_out_is_a_delete() -> None:
    by = mapping({"filter": "published", "deleted": "deleted_at is not null"})
    shown = {**ROW, "published": True, "deleted_at": None}
    assert read(envelope("u", shown), by=by) == UPSERT
    assert read(envelope("u", {**shown, "published": False}), by=by) == DELETE
    assert read(envelope("u", {**shown, "deleted_at": 17}), by=by) == DELETE
    with pytest.raises(CatalogError, match=r"catalog.when.filter: `published` is 'perhaps'"):
        read(envelope("u", {**shown, "published": "perhaps"}), by=by)


def test_what_did_not_change_is_kept() -> None:
    record = ForeignRecord(
        key=None, value=orjson.dumps(envelope("u", {**ROW, "descr": UNAVAILABLE}))
    )
    mapped = read_foreign(record, mapping())
    assert mapped is not None
    assert mapped.keeps == {"description"}
    assert "description" not in mapped.fields
    before = {**ROW, "descr": "as before"}
    logged = read(envelope("u", {**ROW, "descr": UNAVAILABLE}, before))
    assert logged["description"] == "as before"


def test_part_of_the_attributes_is_kept() -> None:
    row = {**ROW, "color": "red", "specs": UNAVAILABLE}
    record = ForeignRecord(key=None, value=orjson.dumps(envelope("u", row)))
    mapped = read_foreign(record, mapping(attributes=["color", "specs"]))
    assert mapped is not None
    assert mapped.keeps == {"attributes.specs"}
    assert mapped.fields["attributes"] == {"color": "red"}
    alone = read_foreign(record, mapping(attributes=["specs"]))
    assert alone is not None
    assert not alone.keeps
    assert "attributes" not in alone.fields


def test_decimals_in_each_mode() -> None:
    number = base64.b64encode((250).to_bytes(2, "big")).decode()
    decimal = {
        "field": "price",
        "type": "bytes",
        "name": "org.apache.kafka.connect.data.Decimal",
        "parameters": {"scale": "2"},
    }
    after = {"field": "after", "type": "struct", "fields": [decimal]}
    schema = {"type": "struct", "fields": [after]}
    with_schema = {"schema": schema, "payload": envelope("c", {**ROW, "price": number})}
    assert read(with_schema)["price"] == 2.5
    assert read(envelope("c", {**ROW, "price": {"scale": 2, "value": number}}))["price"] == 2.5
    assert read(envelope("c", {**ROW, "price": "2.50"}))["price"] == "2.50"
    assert read(envelope("c", {**ROW, "price": 2.5}))["price"] == 2.5
    damaged = {"schema": schema, "payload": envelope("c", {**ROW, "price": "%"})}
    with pytest.raises(CatalogError, match=r"decimal.handling.mode"):
        read(damaged)


def test_flattened_rows() -> None:
    row = {**ROW, "__op": "u", "__lsn": 42, "__deleted": "false"}
    assert read(row) == UPSERT
    assert read({**row, "__op": "d", "__deleted": "true"}) == DELETE
    assert read({**row, "__deleted": "true", "name": None}) == DELETE
    plain = {name: one for name, one in UPSERT.items() if name != "version"}
    assert read(ROW) == plain
    with pytest.raises(CatalogError, match="no column `name`"):
        read({"id": 7, "__op": "c"})


@pytest.mark.parametrize("payload", [ROW, orjson.dumps(ROW).decode()])
def test_an_outbox(payload: Any) -> None:
    by = mapping({"deleted": "header.eventType = 'ProductRemoved'"}, product_id="key")
    kept = read(payload, "7", TopicFormat.OUTBOX, by, id="e1", eventType="ProductSaved")
    assert kept["product_id"] == "7"
    assert kept["title"] == "Oat milk"
    gone = read(payload, "7", TopicFormat.OUTBOX, by, id="e2", eventType="ProductRemoved")
    assert gone == {"type": "delete", "product_id": "7"}
    native = {"type": "delete", "product_id": "p"}
    assert read(native, "p", TopicFormat.OUTBOX, by, id="e3") == native


def test_cloudevents() -> None:
    event = {"specversion": "1.0", "id": "e", "source": "/shop", "type": "product.saved"}
    assert read({**event, "data": ROW})["title"] == "Oat milk"
    by = mapping({"deleted": "event.type = 'product.gone'"}, event_time="event.time")
    timed = read({**event, "time": "2026-05-01T12:00:00Z", "data": ROW}, by=by)
    assert timed["event_time"] == 1_777_636_800_000
    assert read({**event, "type": "product.gone", "data": ROW}, by=by)["type"] == "delete"
    change = {**event, "iodebeziumop": "u", "iodebeziumlsn": "42"}
    assert read({**change, "data": {"before": None, "after": ROW}}) == UPSERT
    binary = {"ce_specversion": "1.0", "ce_type": "product.gone", "ce_id": "e"}
    assert read(ROW, None, TopicFormat.AUTO, by, **binary)["type"] == "delete"


def test_a_mapping_of_the_offer_makes_patches() -> None:
    by = read_mapping({"product_id": "id", "in_stock": "stock > 0"}, {})
    patch = {"type": "patch", "product_id": "7", "version": 42, "in_stock": False}
    assert read(envelope("u", {"id": 7, "stock": 0}), by=by) == patch
    assert read(envelope("d", before={"id": 7}), by=by) == {**patch, "in_stock": None}


def test_an_id_that_changes_in_one_record_is_refused() -> None:
    with pytest.raises(CatalogError, match="was '6' before this change and is '7' now"):
        read(envelope("u", ROW, {**ROW, "id": 6}))


def test_pictures_are_kept_together() -> None:
    by = mapping(image="img", images=["pics"])
    row = {**ROW, "img": UNAVAILABLE, "pics": [UNAVAILABLE]}
    record = ForeignRecord(key=None, value=orjson.dumps(envelope("u", row)))
    mapped = read_foreign(record, by)
    assert mapped is not None
    assert mapped.keeps == {"image", "images"}


def test_a_mapping_that_is_wrong_names_its_field() -> None:
    with pytest.raises(MappingError, match="product_id is missing"):
        read_mapping({"title": "name"}, {})
    with pytest.raises(MappingError, match=r"^title: 'a b'"):
        read_mapping({"product_id": "id", "title": "a b"}, {})
    with pytest.raises(MappingError, match=r"attributes: \"concat\(a\)\" has no name|no name"):
        read_mapping({"product_id": "id", "attributes": ["concat(a)"]}, {})


@pytest.mark.parametrize("value", [[1], "text", 7])
def test_what_is_no_row_is_refused(value: Any) -> None:
    with pytest.raises(CatalogError, match="expected a JSON object"):
        read(value)
