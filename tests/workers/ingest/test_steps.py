"""Juice once: what an event changes is made anew, and nothing else."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from index.errors import MilvusUnavailable, RowRejected
from index.item import Item
from models.images.files import Decoded
from stream.delivery import Delivery, Rejection, State
from stream.errors import Transient
from stream.records import Record
from tests.doubles.colours import ColourEncoder, picture_png, picture_uri
from tests.servers.picture_host import PictureHost, picture_host
from workers.catalog_index import CatalogIndex
from workers.config.sections import IntakeSettings
from workers.config.settings import Settings
from workers.deploy.telemetry import CLOCKS_DIFFER, ENCODED
from workers.ingest.last_write_wins import Change
from workers.ingest.steps import Ingest
from workers.intake.fetch import Fetcher, open_fetcher

FIRST_MS = 1_700_000_000_000


class Shop:
    """An ingest worker's two steps on an index of its own."""

    def __init__(
        self, steps: Ingest, fetcher: Fetcher, index: CatalogIndex, encoder: ColourEncoder
    ) -> None:
        self.steps = steps
        self.fetcher = fetcher
        self.index = index
        self.encoder = encoder
        self._sent = 0

    async def send(self, **event: Any) -> State:
        self._sent += 1
        record = Record(
            topic="catalog",
            partition=0,
            offset=self._sent,
            key=b"p",
            value=orjson.dumps({"product_id": "p", **event}),
            timestamp_ms=FIRST_MS + self._sent,
        )
        (change,) = await self.steps.prepare([record])
        assert isinstance(change, Change), change
        (state,) = await self.steps.write([change])
        assert isinstance(state, State)
        return state

    def item(self) -> Item:
        (item,) = self.index.stored(["p"])
        return item

    def work(self) -> tuple[int, int]:
        """Items encoded and pictures looked at since the last call."""
        done = (self.encoder.encoded, self.encoder.looked_at)
        self.encoder.encoded = self.encoder.looked_at = 0
        return done


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"}}
    )
    encoder = ColourEncoder()
    index = CatalogIndex(settings, encoder.model_id)
    intake = {"roots": [tmp_path], "allowed_networks": ["127.0.0.1/32"]}
    async with open_fetcher(IntakeSettings.model_validate(intake)) as fetcher:
        yield Shop(Ingest(fetcher, encoder, index), fetcher, index, encoder)
    index.close()


@pytest.fixture
def host() -> Iterator[PictureHost]:
    with picture_host() as server:
        yield server


async def test_other_words_are_read_and_the_picture_is_not_looked_at_again(shop: Shop) -> None:
    await shop.send(type="upsert", title="apple", image=picture_uri("red"))
    assert shop.work() == (1, 1)
    await shop.send(type="upsert", title="pear", image=picture_uri("red"))
    assert shop.work() == (1, 0)
    renamed = shop.item()
    assert renamed.payload["title"] == renamed.payload["caption"] == "pear"
    await shop.send(type="upsert", title="pear", image=picture_uri("blue"))
    assert shop.work() == (1, 1)
    await shop.send(type="upsert", title="pear", image=picture_uri("red"))
    anew = shop.item()
    assert anew.vector is not None
    assert renamed.vector is not None
    assert anew.vector.tobytes() == renamed.vector.tobytes()
    assert (anew.juice, anew.digest) == (renamed.juice, renamed.digest)


async def test_another_reference_to_the_same_bytes_makes_nothing_anew(
    shop: Shop, tmp_path: Path
) -> None:
    await shop.send(type="upsert", title="apple", image=picture_uri("red"))
    before = shop.item()
    shop.work()
    moved = tmp_path / "moved.png"
    moved.write_bytes(picture_png("red"))
    assert await shop.send(type="upsert", title="apple", image=str(moved)) is State.APPLIED
    assert shop.work() == (0, 0)
    after = shop.item()
    assert after.payload["image"] == str(moved)
    assert (after.juice, after.digest) == (before.juice, before.digest)


async def test_an_unchanged_catalog_is_neither_downloaded_nor_encoded_again(
    shop: Shop, host: PictureHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    decode = shop.fetcher.decoders.decode

    async def counted(data: bytes) -> Decoded:
        decoded.append(data)
        return await decode(data)

    monkeypatch.setattr(shop.fetcher.decoders, "decode", counted)
    images = [host.keep(f"/{colour}.png", picture_png(colour)) for colour in ("red", "blue")]
    upsert = {"type": "upsert", "title": "apple", "images": images}
    counters = [ENCODED.labels(given)._value for given in ("picture", "words")]
    counted_before = [counter.get() for counter in counters]

    def encoded() -> list[float]:
        return [now.get() - then for now, then in zip(counters, counted_before, strict=True)]

    await shop.send(**upsert, price=1.0)
    assert (host.answers, shop.work(), encoded()) == ({200: 2}, (2, 2), [2, 0])
    writes = shop.index.writes
    await shop.send(**upsert, price=1.0)
    assert (host.answers, shop.work(), encoded()) == ({200: 2, 304: 2}, (0, 0), [2, 0])
    # Other words and another price: the pictures stand as they are.
    await shop.send(**upsert | {"title": "pear"}, price=2.0)
    assert (host.answers, shop.work(), encoded()) == ({200: 2, 304: 4}, (2, 0), [2, 2])
    assert len(decoded) == 2
    assert shop.index.writes > writes
    before = shop.index.stored(["p"])
    # One of them changes: it is sent, decoded and encoded, and the other one is not.
    host.keep("/blue.png", picture_png("lime"))
    await shop.send(**upsert | {"title": "pear"})
    assert (host.answers, shop.work(), encoded()) == ({200: 3, 304: 5}, (1, 1), [3, 2])
    after = shop.index.stored(["p"])
    assert [one.digest == other.digest for one, other in zip(before, after, strict=True)] == [
        True,
        False,
    ]


async def test_a_picture_is_sent_again_where_no_stored_one_can_stand_for_it(
    shop: Shop, host: PictureHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder that reads words and picture together needs the picture again for other words."""
    monkeypatch.setattr(shop.encoder, "replaces_text", False)
    image = host.keep("/red.png", picture_png("red"))
    await shop.send(type="upsert", title="apple", image=image)
    await shop.send(type="upsert", title="apple", image=image)
    assert (host.answers, shop.work()) == ({200: 1, 304: 1}, (1, 1))
    await shop.send(type="upsert", title="pear", image=image)
    assert (host.answers, shop.work()) == ({200: 2, 304: 1}, (1, 1))
    await shop.send(type="delete")
    await shop.send(type="upsert", title="pear", image=image)
    assert (host.answers, shop.work()) == ({200: 3, 304: 1}, (1, 1))


async def test_an_offer_makes_nothing_anew(shop: Shop) -> None:
    await shop.send(type="upsert", title="apple", image=picture_uri("red"))
    before = shop.item()
    shop.work()
    await shop.send(type="patch", price=2.5, attributes={"organic": True})
    assert shop.work() == (0, 0)
    after = shop.item()
    assert after.offer == {"price": 2.5, "attributes": {"organic": True}}
    assert (after.prototype, after.juice) == (before.prototype, before.juice)
    assert after.vector is not None
    assert before.vector is not None
    assert after.vector.tobytes() == before.vector.tobytes()


@pytest.mark.parametrize("kind", ["upsert", "patch"])
async def test_what_can_never_be_stored_is_refused_whatever_comes_after(
    shop: Shop, kind: str
) -> None:
    """In one batch the next event takes its words back, so that the index would never see them."""
    await shop.send(type="upsert", title="apple")
    said: list[dict[str, Any]] = [
        {"type": kind, "attributes": {"text": "long" * 20_000}, "version": 10**13},
        {"type": "patch", "attributes": None, "version": 10**13 + 1},
    ]
    records = [
        Record(
            topic="catalog",
            partition=0,
            offset=offset,
            key=b"p",
            value=orjson.dumps({"product_id": "p", **event}),
            timestamp_ms=FIRST_MS + offset,
        )
        for offset, event in enumerate(said)
    ]
    refused, kept = await shop.steps.prepare(records)
    assert isinstance(refused, Rejection)
    assert refused.error_class == "RowRejected"
    assert isinstance(kept, Change)


async def test_an_item_made_of_a_stored_one_is_not_refused_for_its_prototype(shop: Shop) -> None:
    events = [
        {"type": "upsert", "product_id": f"p{n}", "image": picture_uri(f"hsl({20 * n}, 90%, 50%)")}
        for n in range(18)
    ]
    records = [
        Record(
            topic="catalog",
            partition=0,
            offset=offset,
            key=None,
            value=orjson.dumps(event),
            timestamp_ms=FIRST_MS + offset,
        )
        for offset, event in enumerate(events)
    ]
    for _ in range(2):
        changes = [c for c in await shop.steps.prepare(records) if isinstance(c, Change)]
        assert len(changes) == len(records)
        await shop.steps.write(changes)
    stored = shop.index.stored([f"p{n}" for n in range(18)])
    assert max(item.prototype for item in stored) > 0


async def test_a_wrong_clock_is_refused_and_blocks_none_that_follow(shop: Shop) -> None:
    """Of an event in seconds, which would lose for ever, and of one in 2090, which would win."""
    upsert = {"type": "upsert", "product_id": "p"}
    seconds, future, right = await shop.steps.prepare(
        [
            record(1, **upsert, event_time=1_795_645_930),
            record(2, **upsert, event_time=3_786_912_000_000),
            record(3, **upsert, title="right"),
        ]
    )
    assert isinstance(seconds, Rejection)
    assert "if these are seconds, send 1795645930000" in seconds.reason
    assert isinstance(future, Rejection)
    assert "2090-01-01 00:00:00 UTC" in future.reason
    assert isinstance(right, Change)
    assert await shop.steps.write([right]) == [State.APPLIED]


async def test_what_loses_because_the_clocks_differ_is_counted_and_logged_with_both(
    shop: Shop,
) -> None:
    count = CLOCKS_DIFFER.labels("ingest")._value
    before = count.get()
    assert await shop.send(type="upsert", title="new", event_time=FIRST_MS + 9) is State.APPLIED
    late = {"type": "upsert", "title": "late", "version": 3, "event_time": FIRST_MS + 5}
    with capture_logs() as logged:
        assert await shop.send(**late) is State.SUPERSEDED
        assert await shop.send(**late) is State.SUPERSEDED  # delivered again
    assert count.get() == before + 1
    (line,) = logged
    assert "the clocks differ" in line["event"]
    assert (line["product_id"], line["late"]["version"]) == ("p", 3)
    assert line["late"]["time"] == FIRST_MS + 5
    assert line["stored"]["content"]["time"] == FIRST_MS + 9
    assert shop.item().payload["title"] == "new"


async def test_a_tombstone_deletes_what_its_key_names_in_every_form(shop: Shop) -> None:
    """And one whose key has no known form is refused, and deletes no product of that name."""
    upsert = {"type": "upsert", "product_id": "p", "title": "apple"}
    delivery = Delivery(shop.steps.prepare, shop.steps.write, refuse_none)
    for form in (b"p", b'"p"', b'{"product_id": "p"}', b'{"schema": {}, "payload": {"id": "p"}}'):
        await delivery.deliver([record(1, **upsert)])
        assert not shop.item().is_tombstone
        await delivery.deliver([replace(record(1), key=form, value=None)])
        assert shop.item().is_tombstone
    (refused,) = await shop.steps.prepare([replace(record(9), key=b'["p"]', value=None)])
    assert isinstance(refused, Rejection)
    assert refused.error_class == "DecodeError"
    assert '["p"]' in refused.reason


async def test_a_picture_is_taken_away_where_only_that_is_left_to_do(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index was gone, or the worker killed, between the rows that changed and those to go."""
    both = [picture_uri("red"), picture_uri("blue")]
    await shop.send(type="upsert", title="apple", images=both)
    collection = shop.index.opened()
    assert collection is not None
    delete, calls = collection.delete, 0

    def delete_later(item_ids: Sequence[str]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise MilvusUnavailable("it is down")
        delete(item_ids)

    monkeypatch.setattr(collection, "delete", delete_later)
    event = {"type": "upsert", "title": "apple", "images": both[:1], "event_time": FIRST_MS + 9}
    with pytest.raises(Transient):
        await shop.send(**event)
    assert len(shop.index.stored(["p"])) == 2
    assert await shop.send(**event) is State.APPLIED
    assert (calls, shop.item().payload["title"]) == (2, "apple")


async def test_stored_products_are_read_once_a_batch_and_again_after_a_failure(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[list[str]] = []
    stored, write = shop.index.stored, shop.index.write

    def counted(product_ids: Sequence[str]) -> list[Item]:
        if product_ids:
            reads.append(sorted(product_ids))
        return stored(product_ids)

    monkeypatch.setattr(shop.index, "stored", counted)
    upsert = {"type": "upsert", "title": "apple", "image": picture_uri("red"), "version": 1}
    batch = [
        record(1, product_id="a", **upsert),
        record(2, product_id="b", **upsert),
        record(3, product_id="a", type="patch", price=1.0),
        record(4, product_id="a", type="patch", currency="EUR"),
    ]
    delivery = Delivery(shop.steps.prepare, shop.steps.write, refuse_none)
    await delivery.deliver(batch)
    assert reads == [["a", "b"]]

    # The store refuses the whole batch, so that it is written in halves: the second one must see
    # what the first one wrote.
    calls = 0

    def refuse_the_first(items: Sequence[Item], gone: Sequence[Item] = ()) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RowRejected("too large")
        write(items, gone)

    monkeypatch.setattr(shop.index, "write", refuse_the_first)
    reads.clear()
    await delivery.deliver(
        [
            record(5, product_id="a", type="patch", price=2.0),
            record(6, product_id="a", type="patch", currency="USD"),
        ]
    )
    assert reads == [["a"], ["a"], ["a"]]
    (item,) = stored(["a"])
    assert item.offer == {"price": 2.0, "currency": "USD"}


def record(offset: int, **event: Any) -> Record:
    return Record(
        topic="catalog",
        partition=0,
        offset=offset,
        key=b"p",
        value=orjson.dumps(event),
        timestamp_ms=FIRST_MS + offset,
    )


async def refuse_none(*_: object) -> None:
    raise AssertionError("nothing here may be dead-lettered")
