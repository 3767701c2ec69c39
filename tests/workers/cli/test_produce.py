"""`lookstream produce` says what became of every row, by its line."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from typer.testing import CliRunner, Result

from stream.connection import Kafka
from stream.dead_letter import DeadLetters
from stream.delivery import Delivery
from stream.outcomes import OutcomeWriter
from stream.span_reader import Edge, Span, SpanReader
from stream.topics import create_topics
from tests.doubles.colours import ColourEncoder, picture_png
from workers.catalog_index import CatalogIndex
from workers.cli import app
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(embedded: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A deployment of its own, and a command line that finds it."""
    made = Settings.model_validate(
        {
            "data_dir": tmp_path / "data",
            "kafka": {"bootstrap": embedded.bootstrap, "prefix": f"p{uuid4().hex}"},
            "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"},
        }
    )
    create_topics(kafka_of(made), topics_of(made))
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", embedded.bootstrap)
    monkeypatch.setenv("LOOKSTREAM_KAFKA__PREFIX", made.kafka.prefix)
    return made


@pytest.fixture
def worker(settings: Settings) -> Iterator[CatalogIndex]:
    """What an ingest worker does, in a thread: deliver, write outcomes, commit."""
    kafka, topics = kafka_of(settings), topics_of(settings)
    index, stop = CatalogIndex(settings, ColourEncoder.model_id), threading.Event()

    async def work() -> None:
        outcomes = OutcomeWriter(kafka, topics)
        group, span = settings.group("ingest"), Span(Edge.LAST)
        async with open_fetcher(settings.intake) as fetcher:
            steps = Ingest(fetcher, ColourEncoder(), index, settings.ingest)
            delivery = Delivery(steps.prepare, steps.write, DeadLetters(kafka, topics))
            while not stop.wait(0.1):
                with SpanReader(kafka, topics.catalog.name, span, group=group) as reader:
                    result = await delivery.deliver(list(reader))
                    outcomes.write(result.ended)
                    outcomes.close()
                    reader.save()

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    yield index
    stop.set()
    thread.join()
    index.close()


def write(folder: Path, *rows: Mapping[str, object] | str) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else orjson.dumps(row).decode() for row in rows]
    (folder / "products.jsonl").write_text("\n".join(lines))
    return folder


def produce(folder: Path, *options: str) -> tuple[dict[str, Any], Result]:
    done = CliRunner().invoke(app, ["produce", str(folder), "--json", "--quiet", *options])
    return orjson.loads(done.stdout.splitlines()[-1]), done


def test_every_row_is_applied_superseded_or_refused_with_its_line(
    tmp_path: Path, worker: CatalogIndex
) -> None:
    shop = write(
        tmp_path / "shop",
        {"product_id": "new", "title": "new", "version": 5},
        {"product_id": 7, "price": "12,50", "image": "a.png", "brand": "X"},
        {"product_id": "new", "title": "old", "version": 4},
        {"product_id": "lost", "image": "lost.png"},
        '{"product_id": "half", "title": "lamp \\ud83d"}',
        '{"product_id": "big", "attributes": {"ean": 99999999999999999999}}',
        {"type": "patch", "product_id": "nobody", "price": 1},
    )
    (shop / "a.png").write_bytes(picture_png("red"))
    report, done = produce(shop)
    assert done.exit_code == 1
    counts = ("sent", "not_sent", "applied", "superseded", "refused", "unknown")
    assert [report[name] for name in counts] == [5, 2, 2, 1, 4, 0]
    assert report["coerced"] == {
        "decimal_comma": 1,
        "id_number": 1,
        "text_as_number": 1,
        "unknown_field": 1,
    }
    reasons = {row["line"]: (row["error_class"], row["reason"]) for row in report["refusals"]}
    assert sorted(reasons) == [4, 5, 6, 7]
    assert reasons[4][0] == "FetchError"
    assert "surrogate pair" in reasons[5][1]
    assert "beyond 64 bits" in reasons[6][1]
    assert reasons[7][0] == "UnknownProduct"
    assert "5 events sent to " in done.stderr
    assert ": 2 applied, 1 superseded by newer ones, 2 refused" in done.stderr
    assert f"{shop}/products.jsonl:5: field `title` holds half" in done.stderr
    assert "coerced in 1 rows: prices with a decimal comma" in done.stderr
    (seven,) = worker.stored(["7"])
    assert seven.offer == {"price": 12.5, "attributes": {"brand": "X"}}


def test_a_clean_folder_ends_with_status_0_and_a_second_time_too(
    tmp_path: Path, worker: CatalogIndex
) -> None:
    shop = write(tmp_path / "shop", {"product_id": "a"}, {"product_id": "b"})
    for _ in range(2):
        report, done = produce(shop)
        assert done.exit_code == 0, done.output
        assert (report["applied"], report["unknown"], report["refused"]) == (2, 0, 0)
    assert len(worker.stored(["a", "b"])) == 2


def test_without_waiting_it_says_only_what_was_sent(tmp_path: Path, settings: Settings) -> None:
    shop = write(tmp_path / "shop", {"product_id": "a"}, "no JSON")
    report, done = produce(shop, "--no-wait")
    assert done.exit_code == 1
    assert (report["sent"], report["not_sent"], report["unknown"]) == (1, 1, 1)
    assert f"1 events sent to {topics_of(settings).catalog.name}\n" in done.stderr
    assert "products.jsonl:2: the row is not JSON" in done.stderr


@pytest.mark.usefixtures("settings")
def test_a_folder_with_no_good_row_waits_for_nobody(tmp_path: Path) -> None:
    report, done = produce(write(tmp_path / "shop", "no JSON"))
    assert (done.exit_code, report["sent"], report["refused"]) == (1, 0, 1)


def test_a_feed_is_sent_like_a_folder(tmp_path: Path, worker: CatalogIndex) -> None:
    (tmp_path / "a.png").write_bytes(picture_png("red"))
    feed = tmp_path / "feed.tsv"
    feed.write_text(
        "id\ttitle\timage_link\tprice\n7\tMilk\ta.png\t1,50 EUR\n8\tBread\t\tdear\n9\tcut off\n"
    )
    report, done = produce(feed)
    assert done.exit_code == 1
    assert [report[name] for name in ("sent", "not_sent", "applied", "refused")] == [1, 2, 1, 2]
    assert [row["line"] for row in report["refusals"]] == [3, 4]
    [item] = worker.stored(["7"])
    assert item.payload["title"] == "Milk"
    assert item.offer["price"] == 1.5
