"""A complete folder: what it names, what is missing, how much may go, and that it goes."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import CatalogError
from stream.codec import decode
from stream.delivery import Delivery
from stream.messages import ProductDelete
from stream.records import Record
from tests.doubles.colours import ColourEncoder
from workers.catalog_index import CatalogIndex
from workers.config.sections import IngestSettings, IntakeSettings
from workers.config.settings import Settings
from workers.errors import TooManyDeletes
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher
from workers.jobs.catalog_source import folder_source
from workers.jobs.complete import (
    Missing,
    NamedProducts,
    check_share,
    deletes,
    missing_products,
    named_products,
)

NOW_MS = 1_700_000_000_000


def folder_of(folder: Path, *rows: Mapping[str, object] | str) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "products.jsonl").write_text("\n".join(lines), "utf-8", "surrogatepass")
    return folder


def test_ids_are_read_as_at_ingest_whatever_else_is_wrong(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path,
        "\ufeff" + json.dumps({"product_id": "bom"}),
        {"product_id": 7},
        {"product_id": 8.0},
        {"product_id": "  trimmed "},
        "",
        {"product_id": "refused", "price": "cheap", "in_stock": 5},
        '{"product_id": "nan", "price": NaN}',
        '{"product_id": "half", "title": "lamp \\ud83d"}',
        '{"product_id": 9, "attributes": {"ean": 99999999999999999999}}',
        {"type": "patch", "product_id": "patched", "price": 1},
        {"type": "delete", "product_id": "deleted"},
    )
    found = named_products(folder_source(folder))
    assert found.unreadable == ()
    assert found.ids == {
        *("bom", "7", "8", "trimmed", "refused", "nan", "half", "9", "patched", "deleted")
    }


def test_lines_whose_id_cannot_be_read_are_named(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"title": "no id"},
        {"product_id": None},
        {"product_id": ["a"]},
        {"product_id": " "},
    ]
    folder = folder_of(tmp_path, *rows, '{"product_id": "cut o', {"product_id": "fine"})
    assert named_products(folder_source(folder)) == NamedProducts(
        frozenset({"fine"}), (1, 2, 3, 4, 5)
    )
    with pytest.raises(CatalogError, match="missing"):
        named_products(folder_source(tmp_path / "nowhere"))


@given(st.lists(st.text(min_size=1, max_size=20) | st.integers(0, 10**12), max_size=12))
def test_any_id_is_named(tmp_path_factory: pytest.TempPathFactory, ids: list[str | int]) -> None:
    folder = tmp_path_factory.mktemp("shop")
    found = named_products(folder_source(folder_of(folder, *({"product_id": one} for one in ids))))
    assert found.ids == {str(one).strip() for one in ids} - {""}


def test_more_than_a_fifth_needs_a_word() -> None:
    fifth = Missing(10, ("a", "b"))
    check_share(fifth, 0.2)
    with pytest.raises(TooManyDeletes) as refused:
        check_share(Missing(9, ("a", "b")), 0.2)
    sentence = str(refused.value)
    assert "2 of 9 products (22.2 %)" in sentence
    assert "Nothing was sent" in sentence
    assert "--delete-share 0.23" in sentence
    check_share(Missing(9, ("a", "b")), 0.23)
    check_share(Missing(2, ("a", "b")), 1.0)
    check_share(Missing(0, ()), 0.0)


@given(st.integers(1, 500), st.data())
def test_the_share_that_is_proposed_is_enough(known: int, data: st.DataObject) -> None:
    missing = Missing(known, tuple(map(str, range(data.draw(st.integers(1, known))))))
    with pytest.raises(TooManyDeletes) as refused:
        check_share(missing, 0.0)
    check_share(missing, float(str(refused.value).rpartition("--delete-share ")[2]))


class _Shop:
    """An index without Kafka: events are delivered, and what can be found is asked."""

    def __init__(self, settings: Settings, ingest: Ingest, index: CatalogIndex) -> None:
        self.settings = settings
        self._delivery = Delivery(ingest.prepare, ingest.write, _no_letter)
        self._index = index
        self._offset = 0

    async def deliver(self, values: Sequence[bytes], now_ms: int) -> None:
        records = []
        for value in values:
            self._offset += 1
            records.append(
                Record(
                    topic="t",
                    partition=0,
                    offset=self._offset,
                    key=b"k",
                    value=value,
                    timestamp_ms=now_ms,
                )
            )
        await self._delivery.deliver(records)

    def found(self, *product_ids: str) -> set[str]:
        return {
            item.product_id for item in self._index.stored(product_ids) if not item.is_tombstone
        }


async def _no_letter(*_: object) -> None:
    pytest.fail("nothing here is rejected")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[_Shop]:
    """Five products: with and without a version, and one that was deleted."""
    encoder = ColourEncoder()
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"}}
    )
    index = CatalogIndex(settings, encoder.model_id)
    async with open_fetcher(IntakeSettings()) as fetcher:
        shop = _Shop(settings, Ingest(fetcher, encoder, index, IngestSettings()), index)
        rows: list[dict[str, object]] = [
            {"type": "upsert", "product_id": "plain", "title": "a"},
            {"type": "upsert", "product_id": "versioned", "title": "b", "version": 9},
            {"type": "upsert", "product_id": "stays", "title": "c"},
            {"type": "upsert", "product_id": "gone", "title": "d"},
            {"type": "delete", "product_id": "gone"},
        ]
        await shop.deliver([orjson.dumps(row) for row in rows], NOW_MS)
        yield shop
    index.close()


async def test_what_the_folder_does_not_name_is_deleted(shop: _Shop) -> None:
    missing = missing_products(shop.settings, NamedProducts(frozenset({"stays", "new"})))
    assert (missing.known, missing.ids) == (3, ("plain", "versioned"))
    values = []
    for key, value in deletes(missing):
        event = decode(value, ProductDelete)
        assert (event.product_id, event.version) == (key, None)
        assert event.event_time is not None
        values.append(value)
    await shop.deliver(values, NOW_MS)
    assert shop.found("plain", "versioned", "stays") == {"stays"}
    assert missing_products(shop.settings, NamedProducts(frozenset({"stays"}))).ids == ()


def test_before_there_is_an_index_nothing_is_missing(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path})
    missing = missing_products(settings, NamedProducts(frozenset({"a"})))
    assert (missing.known, missing.ids, missing.share) == (0, (), 0.0)
    assert missing.json() == {"known": 0, "missing": 0, "share": 0.0, "first": []}
