"""A product that lacks pictures is applied without them, and a letter says which and why."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.item import Item
from stream.delivery import BatchResult, Delivery, Rejection
from stream.records import Record
from tests.doubles.colours import ColourEncoder, picture_png, picture_uri
from tests.servers.picture_host import PictureHost, Reply, picture_host
from workers.catalog_index import CatalogIndex
from workers.config.sections import IntakeSettings
from workers.config.settings import Settings
from workers.ingest.missing import PARTIAL
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher

FIRST_MS = 1_700_000_000_000
NO_PICTURE = "data:image/png;base64,AAAA"


class Shop:
    """An ingest worker with an index of its own, and its dead letters."""

    def __init__(self, steps: Ingest, index: CatalogIndex) -> None:
        self.index = index
        self.letters: list[tuple[Record, Rejection]] = []
        self.last = BatchResult()
        self._delivery = Delivery(steps.prepare, steps.write, self._dead_letter)
        self._sent = 0

    async def send(self, **event: Any) -> list[Item]:
        """Deliver an event of product p; its items then."""
        self._sent += 1
        value = orjson.dumps({"type": "upsert", "product_id": "p", **event})
        return await self.deliver(_record(self._sent, value))

    async def deliver(self, *records: Record) -> list[Item]:
        self.last = await self._delivery.deliver(records)
        return self.index.stored(["p"])

    async def redrive(self) -> list[Item]:
        """Deliver the records of all letters again, as `lookstream dlq redrive` does."""
        records = [record for record, _ in self.letters]
        self.letters.clear()
        return await self.deliver(*records)

    def classes(self) -> list[str]:
        return [rejection.error_class for _, rejection in self.letters]

    async def _dead_letter(self, record: Record, rejection: Rejection, _attempts: int) -> None:
        self.letters.append((record, rejection))


def _record(offset: int, value: bytes) -> Record:
    return Record(
        topic="t", partition=0, offset=offset, key=b"p", value=value, timestamp_ms=FIRST_MS + offset
    )


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"}}
    )
    encoder = ColourEncoder()
    index = CatalogIndex(settings, encoder.model_id)
    intake = {"allowed_networks": ["127.0.0.1/32"], "attempts": 1, "roots": [tmp_path]}
    async with open_fetcher(IntakeSettings.model_validate(intake)) as fetcher:
        yield Shop(Ingest(fetcher, encoder, index), index)
    index.close()


@pytest.fixture
def host() -> Iterator[PictureHost]:
    with picture_host() as server:
        yield server


def colours(items: list[Item]) -> dict[str, str]:
    """The colour of each item's picture, by item id."""
    found = {}
    for item in items:
        assert item.vector is not None
        red, green, blue = item.vector[:3]
        strongest = max(("red", red), ("lime", green), ("blue", blue), key=lambda one: one[1])
        found[item.item_id] = strongest[0] if strongest[1] > 0 else "none"
    return found


async def test_one_missing_picture_costs_neither_price_nor_the_others(
    shop: Shop, host: PictureHost
) -> None:
    gone = f"{host.url}/gone.png"
    images = [picture_uri("red"), gone, NO_PICTURE, picture_uri("blue")]
    items = await shop.send(title="lamp", images=images, price=9.5, version=1)
    assert colours(items) == {"p#0": "red", "p#3": "blue"}
    assert items[0].offer == {"price": 9.5}
    assert shop.last == BatchResult(applied=1, partial=1)
    [(_, letter)] = shop.letters
    assert letter.error_class == PARTIAL
    assert letter.reason.startswith("2 of 4 pictures are missing, and the rest of the event is")
    assert (
        f"picture 2, {gone} answered 404; picture 3, a data: URI: the data is no" in letter.reason
    )


async def test_the_letter_tells_outside_missing_and_too_large_apart(
    shop: Shop, tmp_path: Path
) -> None:
    large, none = tmp_path / "large.png", tmp_path / "none.png"
    with large.open("wb") as file:
        file.truncate(20_000_001)
    await shop.send(title="lamp", images=["/etc/hostname", str(none), f"file://{large}"])
    [(_, letter)] = shop.letters
    assert letter.reason.partition("when they are there. ")[2] == (
        "picture 1, /etc/hostname is outside the folders that intake.roots allows "
        f"({tmp_path}): move the file into one of them, or add its folder to intake.roots; "
        f"picture 2, {none} is missing: there is no such file in the folder that intake.roots "
        "allows; put it there, or correct the reference; "
        f"picture 3, file://{large} (which is {large}) is larger than 20 MB (intake.max_bytes); "
        "send a smaller picture"
    )


async def test_redriving_completes_the_product(shop: Shop, host: PictureHost) -> None:
    url = f"{host.url}/late.png"
    await shop.send(title="lamp", images=[picture_uri("red"), url], version=1)
    await shop.redrive()
    assert shop.classes() == [PARTIAL]
    host.keep("/late.png", picture_png("blue"))
    items = await shop.redrive()
    assert colours(items) == {"p#0": "red", "p#1": "blue"}
    assert not shop.letters
    assert shop.last == BatchResult(applied=1)


async def test_a_redriven_letter_does_not_undo_what_came_later(
    shop: Shop, host: PictureHost
) -> None:
    await shop.send(title="lamp", image=f"{host.url}/late.png", price=1.0)
    await shop.send(title="lantern", image=picture_uri("blue"), price=2.0)
    host.keep("/late.png", picture_png("red"))
    [item] = await shop.redrive()
    assert (item.payload["title"], item.offer) == ("lantern", {"price": 2.0})
    assert shop.last == BatchResult(superseded=1)


async def test_without_any_picture_it_is_found_by_its_words(shop: Shop) -> None:
    items = await shop.send(title="lamp", images=[NO_PICTURE], price=1.0)
    assert colours(items) == {"p#0": "none"}
    assert items[0].payload["title"] == "lamp"
    assert shop.classes() == [PARTIAL]


async def test_without_words_the_offer_is_applied_and_the_rest_stays(shop: Shop) -> None:
    await shop.send(image=picture_uri("red"), title="lamp", price=1.0)
    items = await shop.send(image=NO_PICTURE, price=2.0)
    assert colours(items) == {"p#0": "red"}
    assert (items[0].payload["title"], items[0].offer) == ("lamp", {"price": 2.0})
    assert shop.classes() == [PARTIAL]


async def test_of_an_unknown_product_without_words_nothing_is_applied(shop: Shop) -> None:
    assert await shop.send(image=NO_PICTURE, price=2.0) == []
    assert shop.classes() == ["PictureRefused"]
    assert shop.last == BatchResult(dead_lettered=1)
    assert await shop.send(image=NO_PICTURE) == []


async def test_a_picture_that_was_there_before_stays_until_it_is_there_again(
    shop: Shop, host: PictureHost
) -> None:
    url = host.keep("/a.png", picture_png("red"))
    await shop.send(title="lamp", image=url)
    host.script("/a.png", Reply(status=404))
    items = await shop.send(title="lantern", image=url, price=3.0)
    assert colours(items) == {"p#0": "red"}
    assert (items[0].payload["title"], items[0].offer) == ("lantern", {"price": 3.0})
    assert shop.classes() == [PARTIAL]


async def test_an_event_that_is_superseded_has_no_letter(shop: Shop) -> None:
    await shop.send(title="new", image=picture_uri("red"), version=2)
    await shop.send(title="old", image=NO_PICTURE, version=1)
    assert not shop.letters
    assert shop.last == BatchResult(superseded=1)
    # Its offer may still be the newest.
    items = await shop.send(title="old", image=NO_PICTURE, version=1, price=7.0)
    assert items[0].offer == {"price": 7.0}
    assert not shop.letters
    # Without words its place cannot be told: the whole of it is kept for a redrive.
    await shop.send(image=NO_PICTURE, version=1, price=None)
    assert shop.last.total == 1


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    there=st.lists(st.booleans(), min_size=1, max_size=5),
    words=st.booleans(),
    offer=st.booleans(),
)
async def test_whatever_is_missing_it_is_applied_or_in_a_letter(
    shop: Shop, there: list[bool], words: bool, offer: bool
) -> None:
    await shop.send(type="delete")
    shop.letters.clear()
    good = iter(("red", "lime", "blue", "cyan", "magenta"))
    images = [
        picture_uri(next(good)) if one else NO_PICTURE + "AAAA" * number
        for number, one in enumerate(there)
    ]
    event: dict[str, Any] = {"images": images, **({"title": "lamp"} if words else {})}
    items = await shop.send(**event, **({"price": 1.0} if offer else {}))
    numbers = [item.item_id for item in items if not item.is_tombstone]
    expected = [f"p#{n}" for n, one in enumerate(there) if one]
    assert numbers == (expected or (["p#0"] if words else []))
    assert (items[0].offer == {"price": 1.0}) is offer
    complete, nothing = all(there), not (any(there) or words or offer)
    assert shop.classes() == ([] if complete else ["PictureRefused" if nothing else PARTIAL])
    assert shop.last.total == 1
