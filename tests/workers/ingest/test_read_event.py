"""From records to events: coerced unless strict, and what a folder's reader accepts is accepted."""

import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from msgspec import UNSET
from structlog.testing import capture_logs

from models.catalog.coercion import Coercion
from models.catalog.folder import Product, read_catalog
from models.errors import CatalogError
from stream.errors import DecodeError
from stream.messages import ProductDelete, ProductUpsert
from stream.records import Record
from tests.doubles.messy_rows import line_of, messy_rows, strict_rows
from workers.deploy.telemetry import COERCED
from workers.ingest.read_event import CoercionReport, ReadEvent, read_event

OFFER = ("price", "currency", "in_stock", "attributes")


def record(value: bytes | None, key: bytes = b"k") -> Record:
    return Record(topic="t", partition=0, offset=0, key=key, value=value, timestamp_ms=0)


def read(row: dict[str, Any], *, strict: bool = False) -> ReadEvent:
    return read_event(record(line_of({"type": "upsert", **row})), strict=strict)


def product_of(row: dict[str, Any]) -> Product:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "products.jsonl").write_bytes(line_of(row))
        (product,) = read_catalog(Path(folder)).products
        return product


@given(messy_rows)
def test_a_folder_is_read_as_its_events_are(row: dict[str, Any]) -> None:
    """Evaluation and training accept what ingest accepts, and see the same product."""
    try:
        event = read(row).event
    except DecodeError:
        with pytest.raises(CatalogError):
            product_of(row)
        return
    product = product_of(row)
    for name in Product.__struct_fields__:
        expected = getattr(event, name)
        if name in OFFER and expected is UNSET:
            expected = None
        assert getattr(product, name) == expected


@given(strict_rows)
def test_a_strict_event_is_read_alike_in_both_modes(row: dict[str, Any]) -> None:
    assert read(row) == read(row, strict=True)
    assert read(row).coercions == ()


@given(messy_rows)
def test_strict_refuses_what_would_be_coerced(row: dict[str, Any]) -> None:
    try:
        coerced = read(row)
    except DecodeError:
        return
    silent = {Coercion.ID_BLANKS, Coercion.HTML, Coercion.DESCRIPTION_CUT, Coercion.EMPTY_ELEMENT}
    if set(coerced.coercions) - silent - {Coercion.CATEGORY_PATH, Coercion.EMPTY_AS_NULL}:
        with pytest.raises(DecodeError):
            read(row, strict=True)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (b"", "the message is empty; expected a JSON object of type 'upsert'"),
        (b"no JSON", "the message is not JSON: Expecting value"),
        (b"[]", "the message is an array; expected a JSON object"),
        (b'{"product_id": "p"}', "field `type` is missing; expected type 'upsert'"),
        (b'{"type": "upsert", "price": NaN}', "field `price` is NaN"),
        (b'{"type": "upsert", "title": "\\ud83d"}', "field `title` holds half of a surrogate pair"),
        (b'{"type": "upsert", "product_id": " "}', "`product_id`: expected str of length >= 1"),
        (b'{"type": "upsert", "product_id": true}', "`product_id`: expected str, got bool"),
        (b'{"type": "upsert", "product_id": "p", "price": "dear"}', "field `price`, 'dear', is no"),
        (b'{"type": "upsert", "product_id": "p", "images": {}}', "field `images`: expected array"),
        (b'{"type": "patch", "product_id": "p", "brand": "X"}', "unknown field `brand`"),
        (b'{"type": ["upsert"], "product_id": "p"}', "field `type`"),
    ],
)
def test_what_is_no_event_says_why(value: bytes, complaint: str) -> None:
    with pytest.raises(DecodeError) as refused:
        read_event(record(value))
    assert complaint in str(refused.value)


def test_a_byte_order_mark_is_read_over() -> None:
    value = b'\xef\xbb\xbf{"type": "upsert", "product_id": "p"}'
    assert read_event(record(value)).event == ProductUpsert(product_id="p")


def test_the_key_of_a_tombstone_is_trimmed_like_any_id() -> None:
    assert read_event(record(None, b" p ")).event == ProductDelete(product_id="p")
    assert read_event(record(None, b'{"id": 7}')).event == ProductDelete(product_id="7")
    assert read_event(record(None, b" p "), strict=True).event == ProductDelete(product_id=" p ")


def test_each_kind_is_counted_and_logged_once() -> None:
    report = CoercionReport()
    count = COERCED.labels("ingest", "id_number")._value
    before = count.get()
    with capture_logs() as logged:
        for number in range(3):
            coerced = read({"product_id": number, "price": "1.5"})
            report.note(coerced.event.product_id, coerced.coercions)
    assert count.get() == before + 3
    assert [(line["kind"], line["first"]) for line in logged] == [
        ("id_number", "0"),
        ("text_as_number", "0"),
    ]
    assert all("ingest.strict" in line["event"] for line in logged)


def test_orjson_reads_what_is_kept() -> None:
    """Attributes made of unknown fields can be stored: they hold JSON's own values."""
    event = read({"product_id": "p", "dims": {"w": 1}, "ids": [1, "a"], "flag": True}).event
    assert isinstance(event, ProductUpsert)
    assert orjson.dumps(event.attributes)
