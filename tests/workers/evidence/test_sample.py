"""The sample of a catalog's pictures: what is in it depends on the catalog, not on its history."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from structlog.testing import capture_logs

from index.item import Item
from models.images.files import Decoded
from models.images.views import SIDE
from stream.delivery import Delivery, Rejection
from stream.records import Record
from tests.doubles.colours import COLOURS, ColourEncoder, pixels
from workers.catalog_index import CatalogIndex
from workers.config.settings import Settings
from workers.errors import EvidenceError
from workers.evidence.sample import (
    PictureSample,
    exchange_evidence,
    open_sample,
)
from workers.ingest.items import picture_digests
from workers.ingest.steps import Ingest
from workers.intake.download import Download, Validators
from workers.intake.fetch import Fetcher

FIRST_MS = 1_700_000_000_000
MODEL = ColourEncoder.model_id


class Memory:
    """An index in memory."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}

    openings = 0

    def writing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def stored(self, product_ids: Sequence[str]) -> list[Item]:
        return [item for item in self.items.values() if item.product_id in product_ids]

    def write(self, items: Sequence[Item], gone: Sequence[Item] = ()) -> None:
        self.items |= {item.item_id: item for item in items}
        for item in gone:
            del self.items[item.item_id]


class Colours:
    """A fetcher for which the name of a colour is a reference to a picture of it."""

    async def fetch_changed(self, reference: str, known: Validators) -> Download:
        return Download(reference.encode())

    async def decode(self, data: bytes) -> Decoded:
        return Decoded(pixels(data.decode()))


async def deliver(events: Sequence[dict[str, Any]], batch: int, sample: PictureSample) -> Memory:
    """The index after these events, ingested in batches."""
    index, letters = Memory(), []

    async def refused(record: Record, rejection: Rejection, attempts: int) -> None:
        letters.append(rejection)

    steps = Ingest(
        cast(Fetcher, Colours()), ColourEncoder(), cast(CatalogIndex, index), sample=sample
    )
    delivery = Delivery(steps.prepare, steps.write, refused)
    records = [
        Record(
            topic="catalog",
            partition=0,
            offset=number,
            key=None,
            value=orjson.dumps(event),
            timestamp_ms=FIRST_MS + number,
        )
        for number, event in enumerate(events)
    ]
    for start in range(0, len(records), batch):
        await delivery.deliver(records[start : start + batch])
    assert letters == []
    return index


def sampled(events: Sequence[dict[str, Any]], batch: int, capacity: int) -> list[tuple[str, str]]:
    sample = PictureSample(None, MODEL, capacity)
    index = asyncio.run(deliver(events, batch, sample))
    found = [(one.product_id, one.digest) for one in sample.pictures()]
    for product_id, digest in found:
        assert digest in picture_digests(tuple(index.stored([product_id])))
    return found


def upsert(product: str, version: int, *images: str) -> dict[str, Any]:
    event = {"type": "upsert", "product_id": product, "version": version, "title": product}
    return event | {"images": images}


@st.composite
def histories(draw: st.DrawFn, most_pictures: int, deletes: bool) -> list[dict[str, Any]]:
    """Events of some products, each with versions of its own, in the order of these."""
    pictures = st.lists(st.sampled_from(COLOURS), min_size=1, max_size=most_pictures, unique=True)
    events = []
    for product in draw(st.lists(st.sampled_from("abcdefghijkl"), min_size=1, unique=True)):
        for version in range(1, draw(st.integers(1, 3)) + 1):
            if deletes and draw(st.integers(0, 3)) == 0:
                events.append({"type": "delete", "product_id": product, "version": version})
            else:
                events.append(upsert(product, version, *draw(pictures)))
    return events


@st.composite
def arrivals(draw: st.DrawFn, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same events in another order, some of them more than once."""
    again = draw(st.lists(st.sampled_from(events), max_size=6))
    return list(draw(st.permutations([*events, *again])))


@how(max_examples=40)
@given(data=st.data(), batch=st.integers(1, 4), other=st.integers(1, 4))
def test_a_catalog_has_one_sample_whatever_was_before(
    data: st.DataObject, batch: int, other: int
) -> None:
    events = data.draw(histories(most_pictures=3, deletes=True))
    expected = sampled(events, batch, capacity=100)
    assert sampled(data.draw(arrivals(events)), other, capacity=100) == expected


@how(max_examples=40)
@given(data=st.data(), batch=st.integers(1, 4), other=st.integers(1, 4))
def test_a_catalog_larger_than_the_sample_has_one_too(
    data: st.DataObject, batch: int, other: int
) -> None:
    events = data.draw(histories(most_pictures=1, deletes=False))
    expected = sampled(events, batch, capacity=4)
    assert len(expected) == min(4, len({event["product_id"] for event in events}))
    assert sampled(data.draw(arrivals(events)), other, capacity=4) == expected


def test_every_product_has_the_same_chance() -> None:
    seen = np.zeros(20)
    for run in range(200):
        sample = PictureSample(None, MODEL, 5)
        ids = [f"{run}-{number}" for number in range(20)]
        sample.update({one: {"d"} for one in ids}, {one: {"d": b"jpeg"} for one in ids})
        for one in sample.pictures():
            seen[int(one.product_id.partition("-")[2])] += 1
    assert seen.sum() == 200 * 5
    assert seen.min() > 50 - 4 * 6.1
    assert seen.max() < 50 + 4 * 6.1


async def test_what_is_deleted_or_changed_is_not_kept() -> None:
    sample = PictureSample(None, MODEL)
    await deliver([upsert("a", 1, "red", "blue"), upsert("b", 1, "lime")], 2, sample)
    assert len(sample.pictures()) == 3
    await deliver(
        [upsert("a", 1, "red", "blue"), upsert("a", 2, "blue"), upsert("b", 1, "lime")], 1, sample
    )
    kept = {one.product_id: one.pixels() for one in sample.pictures()}
    assert kept.keys() == {"a", "b"}
    assert np.abs(kept["a"].astype(int) - pixels("blue")).max() < 8
    gone = {"type": "delete", "product_id": "a", "version": 3}
    await deliver([upsert("a", 2, "blue"), gone], 1, sample)
    assert [one.product_id for one in sample.pictures()] == ["b"]


def test_pictures_are_kept_small_and_those_too_narrow_not() -> None:
    sample = PictureSample(None, MODEL)
    wide, narrow = np.zeros((300, 600, 3), np.uint8), np.zeros((9, 2000, 3), np.uint8)
    made = sample.thumbnails("p", [("wide", wide), ("narrow", narrow), ("known", None)])
    assert made.keys() == {"wide"}
    sample.update({"p": {"wide", "narrow", "known"}}, {"p": made})
    (one,) = sample.pictures()
    assert one.pixels().shape == (SIDE // 2, SIDE, 3)


def test_several_workers_keep_one_sample(tmp_path: Path) -> None:
    one, two = (PictureSample(tmp_path / "evidence" / "p.sqlite", MODEL, 8) for _ in range(2))
    for number in range(40):
        product = f"p{number}"
        (one if number % 2 else two).update({product: {"d"}}, {product: {"d": b"jpeg"}})
    assert len(one.pictures()) == 8
    assert one.pictures() == two.pictures()
    one.close()
    two.close()


def test_another_model_begins_anew_and_a_reader_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.sqlite"
    ours, theirs = PictureSample(path, MODEL), PictureSample(path, "other")
    ours.update({"p": {"d"}}, {"p": {"d": b"jpeg"}})
    assert theirs.pictures() == []
    assert len(ours.pictures()) == 1
    theirs.update({"q": {"e"}}, {"q": {"e": b"jpeg"}})
    assert [one.product_id for one in theirs.pictures()] == ["q"]
    assert ours.pictures() == []
    ours.close()
    theirs.close()


async def test_a_broken_sample_is_said_once_and_products_are_ingested(tmp_path: Path) -> None:
    path = tmp_path / "p.sqlite"
    path.write_bytes(b"no database at all" * 100)
    sample = PictureSample(path, MODEL)
    with capture_logs() as logs:
        index = await deliver([upsert("a", 1, "red"), upsert("b", 1, "blue")], 1, sample)
    assert len(index.items) == 2
    assert [one["file"] for one in logs if "sample" in one["event"]] == [str(path)]
    with pytest.raises(EvidenceError, match="delete it"):
        sample.pictures()


def evidence(settings: Settings, product: str) -> None:
    sample = open_sample(settings, MODEL)
    sample.update({product: {"d"}}, {product: {"d": b"jpeg"}})
    sample.close()


def kept_by(settings: Settings) -> list[str]:
    sample = open_sample(settings, MODEL)
    try:
        return [one.product_id for one in sample.pictures()]
    finally:
        sample.close()


@pytest.fixture
def three(tmp_path: Path) -> tuple[Settings, Settings, Settings]:
    """A live catalog, a candidate, and what the live one becomes."""
    names = ("live", "live/generations/a-1", "live/generations/previous-2")
    live, candidate, previous = (Settings(data_dir=tmp_path / name) for name in names)
    previous.data_dir.mkdir(parents=True)
    evidence(live, "old")
    evidence(candidate, "new")
    return live, candidate, previous


def test_evidence_goes_live_with_its_generation_and_back(
    three: tuple[Settings, Settings, Settings],
) -> None:
    live, candidate, previous = three
    for _ in range(2):  # a promotion that was interrupted is completed
        exchange_evidence(candidate, live, previous, same_model=False)
        assert kept_by(live) == ["new"]
        assert kept_by(previous) == ["old"]
    again = Settings(data_dir=previous.data_dir.with_name("previous-3"))
    again.data_dir.mkdir()
    exchange_evidence(previous, live, again, same_model=False)
    assert kept_by(live) == ["old"]
    assert kept_by(again) == ["new"]


def test_of_one_model_the_worker_s_own_stays(three: tuple[Settings, Settings, Settings]) -> None:
    live, candidate, previous = three
    exchange_evidence(candidate, live, previous, same_model=True)
    assert kept_by(live) == ["old"]


def test_the_first_catalog_brings_its_own(tmp_path: Path) -> None:
    live, candidate = (Settings(data_dir=tmp_path / name) for name in ("live", "live/generations"))
    evidence(candidate, "new")
    for _ in range(2):
        exchange_evidence(candidate, live, None, same_model=False)
        assert kept_by(live) == ["new"]
