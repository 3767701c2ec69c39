"""Catalog folders as events: pictures inside, bad rows as they are."""

from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from models.errors import CatalogError
from stream.codec import decode
from stream.messages import ProductUpsert
from tests.doubles.colours import picture_png
from workers.jobs.produce import RefusedRow, catalog_events, picture_reference


def write(folder: Path, *rows: Mapping[str, object] | str) -> Path:
    lines = [row if isinstance(row, str) else orjson.dumps(row).decode() for row in rows]
    (folder / "products.jsonl").write_text("\n".join(lines))
    return folder


def test_a_local_picture_travels_inside(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture_png("red"))
    folder = write(tmp_path, {"product_id": "a", "title": "apple", "image": "a.png"})
    [(key, value)] = catalog_events(folder)
    event = decode(value, ProductUpsert)
    assert key == "a"
    assert event.image is not None
    assert event.image.startswith("data:image/png;base64,")
    assert event.event_time is not None


def test_by_reference_sends_absolute_paths_and_urls_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture_png("red"))
    row = {"product_id": "a", "image": "a.png", "images": ["https://shop.example/b.png", "c.png"]}
    [(_, value)] = catalog_events(write(tmp_path, row), inline=False)
    event = decode(value, ProductUpsert)
    assert event.image == str(tmp_path / "a.png")
    assert event.images == ("https://shop.example/b.png", str(tmp_path / "c.png"))


def test_references_of_every_kind_are_sent_as_a_worker_can_read_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture_png("red"))
    references = ["s3://bucket/key.png", "HTTPS://shop.example/b.png", f"file://{tmp_path}/a.png"]
    row = {"product_id": "a", "images": references}
    for inline in (True, False):
        [(_, value)] = catalog_events(write(tmp_path, row), inline=inline)
        storage, web, file = decode(value, ProductUpsert).images
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
    both, none = (
        decode(value, ProductUpsert) for _, value in catalog_events(write(tmp_path, two, three))
    )
    assert all((ref or "").startswith("data:") for ref in (both.image, *both.images))
    assert not any((ref or "").startswith("data:") for ref in (none.image, *none.images))


def test_bad_rows_are_sent_as_they_are(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {"product_id": 7, "image": 8, "images": "x", "colour": "red"},
        {"product_id": "gone", "image": "gone.png"},
        {"type": "delete", "product_id": "d", "version": 3},
    )
    events = list(catalog_events(folder))
    odd = orjson.loads(events[0][1])
    assert events[0][0] is None
    assert (odd["product_id"], odd["image"], odd["images"], odd["colour"]) == (7, 8, "x", "red")
    assert orjson.loads(events[1][1])["image"] == str(tmp_path / "gone.png")
    assert orjson.loads(events[2][1])["type"] == "delete"


REFUSED = {
    "this is no JSON": "the row is not JSON",
    '{"product_id": "nan", "price": NaN}': "field `price` is NaN",
    '{"product_id": "half", "title": "lamp \\ud83d"}': "field `title` holds half of a surrogate",
    '{"product_id": "big", "attributes": {"ean": 99999999999999999999}}': "`attributes.ean` is an",
}


def test_rows_that_no_event_can_hold_are_refused_with_their_line_and_the_others_go(
    tmp_path: Path,
) -> None:
    write(tmp_path, {"product_id": "first"}, *REFUSED, {"product_id": "last"})
    refused: list[RefusedRow] = []
    sent = [key for key, _ in catalog_events(tmp_path, on_refused=refused.append)]
    assert sent == ["first", "last"]
    assert [row.line for row in refused] == [2, 3, 4, 5]
    for row, complaint in zip(refused, REFUSED.values(), strict=True):
        assert complaint in row.reason
    with pytest.raises(CatalogError, match=r"products\.jsonl:2: the row is not JSON"):
        list(catalog_events(tmp_path))


def test_a_picture_over_the_limit_goes_as_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bytes(100))
    assert picture_reference(tmp_path, "a.png", inline=99) == str(tmp_path / "a.png")
    assert picture_reference(tmp_path, "a.png", inline=100).startswith("data:")


def test_a_folder_without_products_says_so(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"products\.jsonl is missing"):
        list(catalog_events(tmp_path))
