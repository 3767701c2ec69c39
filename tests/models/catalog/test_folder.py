import json
from pathlib import Path

import pytest

from models.catalog.folder import Photo, local_path, locate, raw_products, read_catalog
from models.errors import CatalogError
from tests.paths import SHARED_GROCERY as GROCERY


def write(folder: Path, name: str, *rows: object) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n")


def test_products_and_photos_are_typed_and_keep_their_order(tmp_path: Path) -> None:
    write(tmp_path, "products.jsonl", {"product_id": "b", "price": 3}, "", {"product_id": "a"})
    write(tmp_path, "photos.jsonl", {"image": "x.png", "split": "test", "category": ["Fruit"]})
    catalog = read_catalog(tmp_path)
    assert [product.product_id for product in catalog.products] == ["b", "a"]
    assert catalog.by_id["b"].price == 3.0
    assert catalog.photos == (Photo(image="x.png", split="test", category=("Fruit",)),)


def test_deletes_and_patches_in_a_folder_count_as_on_the_stream(tmp_path: Path) -> None:
    write(
        tmp_path,
        "products.jsonl",
        {"product_id": 7, "title": "seven", "price": "1,50"},
        {"product_id": "b"},
        {"type": "patch", "product_id": "7", "price": 2, "currency": "EUR"},
        {"type": "delete", "product_id": "b"},
    )
    (product,) = read_catalog(tmp_path).products
    assert (product.product_id, product.title) == ("7", "seven")
    assert (product.price, product.currency) == (2.0, "EUR")


def test_a_photo_takes_the_category_of_its_product(tmp_path: Path) -> None:
    write(tmp_path, "products.jsonl", {"product_id": "a", "category": ["Fruit", "Apple"]})
    write(tmp_path, "photos.jsonl", {"image": "x.png", "product_id": "a"})
    assert read_catalog(tmp_path).photos[0].category == ("Fruit", "Apple")


def test_a_repeated_product_replaces_the_earlier_unless_it_is_older(tmp_path: Path) -> None:
    write(
        tmp_path,
        "products.jsonl",
        {"product_id": "a", "title": "first"},
        {"product_id": "a", "title": "second", "version": 2},
        {"product_id": "a", "title": "late", "version": 1},
    )
    assert [product.title for product in read_catalog(tmp_path).products] == ["second"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"title": "no id"}, "product_id"),
        ({"product_id": True}, r"\$\.product_id"),
        ({"product_id": "a", "category": {"a": "Fruit"}}, r"\$\.category"),
        ({"product_id": "a", "price": "1.299"}, "field `price`, .1.299., may be thousands"),
        ({"product_id": "a", "type": "insert"}, "field `type` is 'insert'; expected 'upsert' or"),
        ({"product_id": "a", "type": "patch", "price": 1}, "no product .a. to patch before"),
        ("{broken", "the row is not JSON: Expecting property name"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_field(tmp_path: Path, row: object, says: str) -> None:
    write(tmp_path, "products.jsonl", {"product_id": "good"}, row)
    with pytest.raises(CatalogError, match=rf"products\.jsonl:2: .*{says}"):
        read_catalog(tmp_path)


def test_a_raw_row_that_is_no_object_says_why_and_the_others_come(tmp_path: Path) -> None:
    write(tmp_path, "products.jsonl", "{broken", {"product_id": 7, "colour": 1}, "[1]")
    rows = list(raw_products(tmp_path))
    assert [row.line for row in rows] == [1, 2, 3]
    assert [row.fields for row in rows] == [{}, {"product_id": 7, "colour": 1}, {}]
    assert ["not JSON" in rows[0].problem, rows[1].problem] == [True, ""]
    assert rows[2].problem == "the row is an array; expected a JSON object"


def test_a_byte_order_mark_is_read_over_by_both_readers(tmp_path: Path) -> None:
    (tmp_path / "products.jsonl").write_bytes(b'\xef\xbb\xbf{"product_id": "a"}\n')
    (tmp_path / "photos.jsonl").write_bytes(b'\xef\xbb\xbf\n{"image": "x.png"}\n')
    assert [row.fields for row in raw_products(tmp_path)] == [{"product_id": "a"}]
    catalog = read_catalog(tmp_path)
    assert [list(catalog.by_id), len(catalog.photos)] == [["a"], 1]


def test_an_empty_folder_and_an_unknown_split_say_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="neither"):
        read_catalog(tmp_path)
    with pytest.raises(CatalogError, match="missing"):
        list(raw_products(tmp_path))
    write(tmp_path, "photos.jsonl", {"image": "x.png", "split": "val"})
    with pytest.raises(CatalogError, match="'test'; the splits are val"):
        read_catalog(tmp_path).split("test")


URLS = ("https://host/x.png", "HTTPS://Host/x.png", "http://host/x.png", "s3://bucket/key.png")


@pytest.mark.parametrize(
    "reference",
    [*URLS, "S3://bucket/key", "data:image/png;base64,AA==", "DATA:,x", "ftp://host/x", "gs://b/k"],
)
def test_what_is_elsewhere_stays_as_it_is(tmp_path: Path, reference: str) -> None:
    """Also what no worker can read: its sentence names the reference, and no path made of it."""
    assert locate(tmp_path, reference) == reference
    assert local_path(tmp_path, reference) is None


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("a/b.png", "{folder}/a/b.png"),
        ("/abs/b.png", "/abs/b.png"),
        ("file:///abs/b%20c.png", "/abs/b c.png"),
        ("FILE:///abs/b.png", "/abs/b.png"),
        ("file://localhost/abs/b.png", "/abs/b.png"),
        ("file:/abs/b.png", "/abs/b.png"),
        ("100%.png", "{folder}/100%.png"),
        ("a:b.png", "{folder}/a:b.png"),
        ("c:/b.png", "{folder}/c:/b.png"),
        ("https:b.png", "{folder}/https:b.png"),
    ],
)
def test_a_file_becomes_an_absolute_path(tmp_path: Path, reference: str, path: str) -> None:
    assert locate(tmp_path, reference) == path.format(folder=tmp_path.resolve())


def test_a_file_on_another_machine_is_left_for_the_intake_to_refuse(tmp_path: Path) -> None:
    assert locate(tmp_path, "file://nas/a.png") == "file://nas/a.png"


@pytest.mark.skipif(not GROCERY.is_dir(), reason="../shared/data/grocery is not there")
def test_the_grocery_catalog() -> None:
    catalog = read_catalog(GROCERY)
    assert len(catalog.products) == 81
    assert [len(catalog.split(name)) for name in ("train", "val", "test")] == [2640, 296, 2485]
    assert all(photo.product_id in catalog.by_id for photo in catalog.photos)
    assert all(Path(catalog.locate(product.image or "")).is_file() for product in catalog.products)
