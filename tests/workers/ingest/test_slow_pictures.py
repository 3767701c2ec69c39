"""Somebody's slow picture delays only its own product; a product's pictures come together."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.delivery import Delivery, Rejection
from stream.faust_consumer import Limits, consume
from stream.records import Record
from tests.doubles.colours import ColourEncoder, picture_png, picture_uri
from tests.doubles.faust_stream import App, Stream
from tests.servers.picture_host import PictureHost, Reply, picture_host
from workers.catalog_index import CatalogIndex
from workers.config.sections import IntakeSettings
from workers.config.settings import Settings
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher

FIRST_MS = 1_700_000_000_000


@pytest.fixture
def host() -> Iterator[PictureHost]:
    with picture_host() as server:
        yield server


class Worker:
    """An ingest worker on a stream without Kafka, with an index of its own."""

    def __init__(self, index: CatalogIndex) -> None:
        self.app = App()
        self.stream = Stream(self.app)
        self.index = index
        self.letters: dict[int, Rejection] = {}
        self.sent: list[Record] = []

    def send(self, product_id: str, **event: Any) -> int:
        """Bring an event; its offset."""
        offset = len(self.sent)
        value = orjson.dumps({"product_id": product_id, **event})
        record = Record(
            topic="t",
            partition=0,
            offset=offset,
            key=b"k",
            value=value,
            timestamp_ms=FIRST_MS + offset,
        )
        self.sent.append(record)
        self.stream.bring(record)
        return offset

    def acked(self) -> int:
        """How many are acked."""
        acks = [what[1] for what in self.app.happened if what[0] == "ack"]
        assert acks == list(range(len(acks)))
        return len(acks)

    def offer(self, product_id: str) -> dict[str, Any]:
        items = self.index.stored([product_id])
        return items[0].offer if items else {}

    async def dead_letter(self, record: Record, rejection: Rejection, _attempts: int) -> None:
        self.letters[record.offset] = rejection


@asynccontextmanager
async def working(tmp_path: Path, **limits: int) -> AsyncIterator[Worker]:
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"}}
    )
    encoder = ColourEncoder()
    index = CatalogIndex(settings, encoder.model_id)
    worker = Worker(index)
    intake = IntakeSettings.model_validate({"allowed_networks": ["127.0.0.1/32"], "attempts": 1})
    async with open_fetcher(intake) as fetcher:
        steps = Ingest(fetcher, encoder, index)
        delivery = Delivery(steps.prepare, steps.write, worker.dead_letter)
        body = consume(
            worker.stream,  # type: ignore[arg-type]
            delivery,
            limits=Limits(**limits),
            prefetch=steps,
        )
        consuming = asyncio.create_task(body)
        await asyncio.sleep(0)
        yield worker
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
    index.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - servers and stores are in other threads
            await asyncio.sleep(0.005)


async def test_a_slow_picture_delays_only_its_own_product(
    host: PictureHost, tmp_path: Path
) -> None:
    async with working(tmp_path) as worker:
        for product in ("a", "b"):
            worker.send(product, type="upsert", title=product, image=picture_uri("red"))
        await until(lambda: worker.acked() == 2)
        hold = threading.Event()
        slow = host.script("/slow.png", Reply(picture_png("lime"), hold=hold))
        for number in range(16):
            worker.send(f"slow{number}", type="upsert", title="slow", image=slow)
        worker.send("slow0", type="patch", price=5.0)
        worker.send("a", type="patch", price=1.0)
        worker.send("b", type="delete")
        worker.send("c", type="upsert", title="c", image=picture_uri("blue"))
        await until(lambda: worker.offer("a") == {"price": 1.0})
        await until(lambda: worker.index.stored(["b"])[0].is_tombstone)
        await until(lambda: bool(worker.index.stored(["c"])))
        assert not worker.index.stored(["slow0"])  # its patch waits behind its upsert
        assert worker.acked() == 2
        hold.set()
        await until(lambda: worker.acked() == len(worker.sent))
        assert worker.offer("slow0") == {"price": 5.0}
    assert not worker.letters


async def test_a_product_s_pictures_are_fetched_together(host: PictureHost, tmp_path: Path) -> None:
    async with working(tmp_path) as worker:
        hold = threading.Event()
        colours = ("red", "lime", "blue", "cyan", "magenta", "yellow", "black", "white")
        images = [host.script(f"/{c}.png", Reply(picture_png(c), hold=hold)) for c in colours]
        worker.send("a", type="upsert", title="a", images=images)
        await until(lambda: host.under_way == len(images))
        hold.set()
        await until(lambda: worker.acked() == 1)
        items = worker.index.stored(["a"])
        assert [item.payload["image"] for item in items] == images


async def test_events_of_one_product_stay_in_order_whatever_their_pictures_do(
    host: PictureHost, tmp_path: Path
) -> None:
    """The first upsert's picture comes last; of equal versions the last event wins."""
    async with working(tmp_path) as worker:
        hold = threading.Event()
        slow = host.script("/slow.png", Reply(picture_png("red"), hold=hold))
        quick = host.script("/quick.png", Reply(picture_png("blue")))
        worker.send("a", type="upsert", title="first", image=slow, version=7)
        worker.send("a", type="upsert", title="second", image=quick, version=7, price=1.0)
        worker.send("a", type="patch", price=2.0, version=7)
        await until(lambda: "/quick.png" in host.paths())
        await asyncio.sleep(0.05)
        assert worker.acked() == 0
        hold.set()
        await until(lambda: worker.acked() == 3)
        [item] = worker.index.stored(["a"])
        assert (item.payload["title"], item.payload["image"]) == ("second", quick)
        assert item.offer == {"price": 2.0}


async def test_what_stands_for_a_picture_may_be_gone_when_its_turn_comes(
    host: PictureHost, tmp_path: Path
) -> None:
    """The second upsert needs no pixels when it is begun; the first one then takes them away."""
    async with working(tmp_path) as worker:
        red = host.keep("/red.png", picture_png("red"))
        worker.send("a", type="upsert", title="red", image=red)
        await until(lambda: worker.acked() == 1)
        hold = threading.Event()
        blue = host.script("/blue.png", Reply(picture_png("blue"), hold=hold))
        worker.send("a", type="upsert", title="blue", image=blue)
        worker.send("a", type="upsert", title="red again", image=red)
        await until(lambda: host.answers[304] == 1)
        before = worker.index.stored(["a"])[0].vector
        hold.set()
        await until(lambda: worker.acked() == 3)
        [item] = worker.index.stored(["a"])
        assert item.payload["title"] == "red again"
        assert before is not None
        assert item.vector is not None
        assert abs(before[:3] - item.vector[:3]).max() < 1e-6


async def test_parked_records_are_fetched_again_after_a_rebalance(
    host: PictureHost, tmp_path: Path
) -> None:
    async with working(tmp_path) as worker:
        hold = threading.Event()
        slow = host.script("/slow.png", Reply(picture_png("red"), hold=hold))
        worker.send("a", type="upsert", title="a", image=slow)
        worker.send("b", type="upsert", title="b", image=picture_uri("blue"))
        await until(lambda: host.under_way == 1 and bool(worker.index.stored(["b"])))
        await worker.app.on_partitions_revoked.send()
        assert worker.acked() == 0
        await worker.app.assign()
        worker.stream.bring(*worker.sent)
        await until(lambda: host.under_way == 2)
        hold.set()
        await until(lambda: worker.acked() == 2)
        assert [item.payload["title"] for item in worker.index.stored(["a", "b"])] == ["a", "b"]


async def test_many_slow_pictures_stop_the_stream_until_one_comes(
    host: PictureHost, tmp_path: Path
) -> None:
    async with working(tmp_path, max_parked=4, max_batch=4) as worker:
        hold = threading.Event()
        slow = host.script("/slow.png", Reply(picture_png("red"), hold=hold))
        for number in range(4):
            worker.send(f"slow{number}", type="upsert", title="slow", image=slow)
        await until(lambda: host.under_way == 4)
        worker.send("c", type="upsert", title="c", image=picture_uri("blue"))
        worker.send("d", type="upsert", title="d", image=picture_uri("blue"))
        await asyncio.sleep(0.05)
        assert worker.stream.batches.qsize() == 1
        hold.set()
        await until(lambda: worker.acked() == 6)
