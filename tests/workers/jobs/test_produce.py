"""Catalog folders as events: pictures inside, bad rows as they are."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given

from models.catalog.coercion import Coercion
from models.errors import CatalogError
from stream.codec import decode
from stream.errors import DecodeError
from stream.messages import Outcomes, ProductUpsert, RefusedRecord
from stream.records import Record
from tests.doubles.colours import picture_png
from tests.doubles.messy_rows import line_of, messy_rows
from workers.config.sections import IngestSettings
from workers.ingest.read_event import read_event
from workers.jobs.catalog_source import folder_source
from workers.jobs.produce import (
    CatalogRecord,
    Produced,
    RefusedRow,
    catalog_events,
    note_outcomes,
    picture_reference,
)


def write(folder: Path, *rows: Mapping[str, object] | str) -> Path:
    lines = [row if isinstance(row, str) else orjson.dumps(row).decode() for row in rows]
    (folder / "products.jsonl").write_text("\n".join(lines))
    return folder


def upsert(record: CatalogRecord) -> ProductUpsert:
    event: ProductUpsert = decode(record.value, ProductUpsert)
    return event


def test_a_local_picture_travels_inside(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture_png("red"))
    folder = write(tmp_path, {"product_id": "a", "title": "apple", "image": "a.png"})
    [record] = catalog_events(folder_source(folder))
    event = upsert(record)
    assert record.key == "a"
    assert event.image is not None
    assert event.image.startswith("data:image/png;base64,")
    assert event.event_time is not None


def test_by_reference_sends_absolute_paths_and_urls_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture_png("red"))
    row = {"product_id": "a", "image": "a.png", "images": ["https://shop.example/b.png", "c.png"]}
    [record] = catalog_events(folder_source(write(tmp_path, row)), inline=False)
    event = upsert(record)
    assert event.image == str(tmp_path / "a.png")
    assert event.images == ("https://shop.example/b.png", str(tmp_path / "c.png"))


def test_references_of_every_kind_are_sent_as_a_worker_can_read_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture_png("red"))
    references = ["s3://bucket/key.png", "HTTPS://shop.example/b.png", f"file://{tmp_path}/a.png"]
    row = {"product_id": "a", "images": references}
    for inline in (True, False):
        [record] = catalog_events(folder_source(write(tmp_path, row)), inline=inline)
        storage, web, file = upsert(record).images
        assert [storage, web] == references[:2]
        assert file.startswith("data:image/png;base64," if inline else str(tmp_path / "a.png"))


def test_pictures_share_the_room_of_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(picture_png("red"))
    monkeypatch.setattr("workers.jobs.produce.INLINE_BYTES", 2 * size)
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(picture_png("red"))
    two = {"product_id": "p", "image": "a.png", "images": ["b.png"]}
    three = {"product_id": "p", "image": "a.png", "images": ["b.png", "c.png"]}
    both, none = map(upsert, catalog_events(folder_source(write(tmp_path, two, three))))
    assert all((ref or "").startswith("data:") for ref in (both.image, *both.images))
    assert not any((ref or "").startswith("data:") for ref in (none.image, *none.images))


def test_what_the_worker_coerces_is_sent_as_it_is_keyed_by_the_id_that_it_becomes(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.png").write_bytes(picture_png("red"))
    folder = write(
        tmp_path,
        {"product_id": 7, "title": "seven", "price": "12,50", "image": ["a.png", "b.png"]},
        {"product_id": " 8 ", "images": "b.png", "brand": "X"},
        {"product_id": "gone", "image": "gone.png"},
        {"type": "delete", "product_id": 9, "version": "3"},
    )
    records = list(catalog_events(folder_source(folder), inline=False))
    assert [record.key for record in records] == ["7", "8", "gone", "9"]
    assert [record.line for record in records] == [1, 2, 3, 4]
    seven, eight, gone, nine = (orjson.loads(record.value) for record in records)
    assert (seven["product_id"], seven["price"]) == (7, "12,50")
    assert (seven["image"], seven["images"]) == (str(tmp_path / "a.png"), [str(tmp_path / "b.png")])
    assert (eight["images"], eight["brand"]) == ([str(tmp_path / "b.png")], "X")
    assert gone["image"] == str(tmp_path / "gone.png")
    assert nine["type"] == "delete"
    assert Coercion.DECIMAL_COMMA in records[0].coercions


REFUSED = {
    "this is no JSON": "the row is not JSON",
    '{"product_id": "nan", "price": NaN}': "field `price` is NaN",
    '{"product_id": "half", "title": "lamp \\ud83d"}': "field `title` holds half of a surrogate",
    '{"product_id": "big", "attributes": {"ean": 99999999999999999999}}': "`attributes.ean` is an",
    '{"product_id": true}': "field `product_id`: expected str, got bool",
    '{"title": "no id"}': "field `product_id` is missing",
    '{"product_id": "wrong", "images": {"main": "a.png"}}': "field `images`: expected array",
    '{"product_id": "dear", "price": "1.299"}': "field `price`, '1.299', may be thousands",
    '{"product_id": "seconds", "event_time": 1795645930}': "if these are seconds, send 17956459300",
    '{"product_id": "nothing", "type": "patch"}': "the patch changes nothing",
    '{"product_id": "other", "type": "insert"}': "field `type` is 'insert'; expected type 'upsert'",
}


def test_rows_that_no_event_can_hold_are_refused_with_their_line_and_the_others_go(
    tmp_path: Path,
) -> None:
    write(tmp_path, {"product_id": "first"}, *REFUSED, {"product_id": "last"})
    refused: list[RefusedRow] = []
    sent = [
        record.key for record in catalog_events(folder_source(tmp_path), on_refused=refused.append)
    ]
    assert sent == ["first", "last"]
    assert [row.line for row in refused] == list(range(2, 2 + len(REFUSED)))
    for row, complaint in zip(refused, REFUSED.values(), strict=True):
        assert complaint in row.reason
    with pytest.raises(CatalogError, match=r"products\.jsonl:2: the row is not JSON"):
        list(catalog_events(folder_source(tmp_path)))


def test_a_picture_over_the_limit_goes_as_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bytes(100))
    assert picture_reference(tmp_path, "a.png", inline=99) == str(tmp_path / "a.png")
    assert picture_reference(tmp_path, "a.png", inline=100).startswith("data:")


def test_a_folder_without_products_says_so(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"products\.jsonl is missing"):
        list(catalog_events(folder_source(tmp_path)))


@given(messy_rows)
def test_what_is_sent_is_accepted_and_what_is_not_would_be_refused(row: dict[str, Any]) -> None:
    """The ingest worker has the last word, and the same opinion."""

    def accepted(value: bytes) -> bool:
        record = Record(topic="t", partition=0, offset=0, key=b"", value=value, timestamp_ms=0)
        try:
            read_event(record)
        except DecodeError:
            return False
        return True

    refused: list[RefusedRow] = []
    with TemporaryDirectory() as folder:
        (Path(folder) / "products.jsonl").write_bytes(line_of(row))
        sent = list(catalog_events(folder_source(Path(folder)), on_refused=refused.append))
    assert len(sent) + len(refused) == 1
    if sent:
        assert accepted(sent[0].value)
    elif "epoch" not in refused[0].reason:
        assert not accepted(line_of({"type": "upsert", **row}))


def test_strict_refuses_what_would_be_coerced(tmp_path: Path) -> None:
    write(tmp_path, {"product_id": 7}, {"product_id": "a"})
    refused: list[RefusedRow] = []
    settings = IngestSettings(strict=True)
    sent = catalog_events(folder_source(tmp_path), settings=settings, on_refused=refused.append)
    assert [record.key for record in sent] == ["a"]
    assert refused == [RefusedRow(1, "field `product_id`: expected str, got int", "DecodeError")]


def test_a_picture_that_cannot_be_read_and_an_event_that_is_too_large_stop_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(picture_png("red"))
    long = "x" * 300
    write(
        tmp_path,
        {"product_id": "a", "image": "a.png"},
        {"product_id": "b", "image": long},
        {"product_id": "c", "attributes": {"text": "x" * 17_000_000}},
        {"product_id": "d"},
    )

    def forbidden(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("workers.jobs.produce.data_uri", forbidden)
    refused: list[RefusedRow] = []
    sent = [
        record.key for record in catalog_events(folder_source(tmp_path), on_refused=refused.append)
    ]
    assert sent == ["d"]
    assert f"picture {tmp_path}/a.png cannot be read: Permission denied" in refused[0].reason
    assert "cannot be read: File name too long" in refused[1].reason
    assert "the event has 17.0 MB, and 16 MB fit a message" in refused[2].reason


def test_outcomes_are_matched_to_the_lines_that_were_sent() -> None:
    report = Produced(sent=4, waiting={(0, 5): 1, (0, 6): 2, (1, 5): 3, (1, 6): 4})
    refusal = RefusedRecord(offset=6, error_class="FetchError", reason="no picture")
    outcomes = [
        Outcomes(topic="catalog", partition=0, applied=(4, 5), refused=(refusal,)),
        Outcomes(topic="another", partition=1, applied=(5, 6)),
        Outcomes(topic="catalog", partition=1, superseded=(5,)),
        Outcomes(topic="catalog", partition=1, applied=(5,)),  # delivered again
    ]
    note_outcomes([report], "catalog", outcomes)
    assert (report.applied, report.superseded, report.refused) == (1, 1, 1)
    assert report.refusals == [RefusedRow(2, "no picture", "FetchError")]
    assert report.waiting == {(1, 6): 4}
    assert report.json()["unknown"] == 1
