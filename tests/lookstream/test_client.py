"""The public client: the README's lines, addresses from the settings, local pictures, events."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

import lookstream
from stream.codec import decode, encode
from stream.connection import Kafka
from stream.messages import CatalogEvent, Click, Query, Result, ResultItem
from stream.publisher import Publisher
from stream.records import from_confluent, partitions, read_topic, take
from stream.topics import Topics
from tests.paths import EXAMPLE, ROOT


@pytest.fixture(autouse=True)
def environment(embedded: Kafka, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings name a broker, and topics of this test alone."""
    prefix = topics.query.name.removesuffix(".query")
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", embedded.bootstrap)
    monkeypatch.setenv("LOOKSTREAM_KAFKA__PREFIX", prefix)


@pytest.fixture
def kafka(embedded: Kafka) -> Kafka:
    """The embedded broker will do."""
    return embedded


@contextmanager
def query_worker(kafka: Kafka, topics: Topics, queries: list[Query]) -> Iterator[None]:
    """Answers every query with one item, and keeps what it was asked."""
    stopping = threading.Event()

    def work() -> None:
        consumer = Consumer(kafka.consumer("unused", fetch_wait_max_ms=10))
        found = partitions(consumer, topics.query.name)
        consumer.assign([TopicPartition(topics.query.name, p, OFFSET_BEGINNING) for p in found])
        item = ResultItem(
            product_id="7", item_id="7#0", probability=0.9, level=0, position=1, title="Oat milk"
        )
        with Publisher(kafka, linger_ms=0) as publisher:
            while not stopping.is_set():
                for message in take(consumer, 0.05):
                    query: Query = decode(from_confluent(message).value, Query)
                    queries.append(query)
                    result = Result(query_id=query.query_id, items=(item,))
                    publisher.publish(topics.result.name, query.query_id, encode(result))
                publisher.flush()
        consumer.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(20)


def readme_lines() -> str:
    """The Python lines of the README."""
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return str(code)


def test_the_lines_of_the_readme_run(
    kafka: Kafka,
    topics: Topics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    picture = EXAMPLE / "pictures" / "Granny-Smith.webp"
    (tmp_path / "photo.jpg").write_bytes(picture.read_bytes())
    monkeypatch.chdir(tmp_path)
    queries: list[Query] = []
    with query_worker(kafka, topics, queries):
        exec(readme_lines(), {})
    assert capsys.readouterr().out == "90% Oat milk\n"
    [query] = queries
    assert (query.text, query.top) == ("oat milk", 3)
    assert query.image is not None
    assert query.image.startswith("data:image/jpeg;base64,")


def test_an_address_in_the_program_goes_before_that_of_the_settings(
    kafka: Kafka, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    queries: list[Query] = []
    with query_worker(kafka, topics, queries), lookstream.Client(kafka.bootstrap) as client:
        result = client.search(lookstream.Query(query_id="mine", text="oat milk"))
    assert (result.query_id, result.items[0].product_id) == ("mine", "7")
    with pytest.raises(lookstream.BrokerError, match=r"no Kafka answers at 127\.0\.0\.1:1"):
        lookstream.Client(timeout_s=1)


def test_a_query_gets_an_id_of_its_own() -> None:
    one, other = lookstream.Query(text="a"), lookstream.Query(text="a")
    assert one.query_id != other.query_id
    assert decode(encode(one), Query) == Query(query_id=one.query_id, text="a")


def test_only_a_file_is_sent_as_its_content(kafka: Kafka, topics: Topics) -> None:
    images = [
        "https://shop.example/7.jpg",
        "s3://bucket/7.jpg",
        "data:image/png;base64," + 4000 * "A",
        "missing.jpg",
    ]
    queries: list[Query] = []
    with query_worker(kafka, topics, queries), lookstream.Client() as client:
        for image in images:
            client.search(lookstream.Query(image=image))
        shown = EXAMPLE / "pictures" / "Granny-Smith.webp"
        several = [lookstream.QueryImage(image=one, weight=0.5) for one in (str(shown), images[0])]
        client.search(lookstream.Query(images=tuple(several)))
    *singles, last = queries
    assert [query.image for query in singles] == images
    first, second = last.images
    assert first.image.startswith("data:image/webp;base64,")
    assert (second.image, first.weight) == (images[0], 0.5)


def test_events_go_to_the_topics_of_their_kind(kafka: Kafka, topics: Topics) -> None:
    events = (
        lookstream.ProductUpsert(product_id="7", title="Oat milk"),
        lookstream.OfferPatch(product_id="7", price=1.5),
        lookstream.ProductDelete(product_id="7"),
    )
    click = lookstream.Click(click_id="c", query_id="q", product_id="7")
    with lookstream.Client() as client:
        client.send(*events, click)
    sent = list(read_topic(kafka, topics.catalog.name))
    assert [decode(record.value, CatalogEvent) for record in sent] == list(events)
    assert {record.key for record in sent} == {b"7"}
    [clicked] = read_topic(kafka, topics.click.name)
    assert (clicked.key, decode(clicked.value, Click)) == (b"q", click)
    assert clicked.value == b'{"type":"click","click_id":"c","query_id":"q","product_id":"7"}'


async def test_products_in_an_event_loop(kafka: Kafka, topics: Topics, tmp_path: Path) -> None:
    (tmp_path / "products.jsonl").write_text('{"product_id": "8"}\n{"product_id": "9"}\n{}\n')
    async with lookstream.AsyncClient() as client:
        sent = [
            await client.products.upsert("7", title="Oat milk"),
            await client.products.patch("7", price=1.5),
            await client.products.delete("7", version=3),
        ]
        batches = [one async for one in client.products.from_file(tmp_path, batch=1)]
        with pytest.raises(lookstream.StreamError, match="colour"):
            await client.products.upsert("7", colour="red")
    assert len(set(sent)) == 3
    assert [len(one.event_ids) for one in batches] == [1, 1, 0]
    assert len(batches[-1].refused) == 1
    records = list(read_topic(kafka, topics.catalog.name))
    assert sorted((one.key or b"").decode() for one in records) == ["7", "7", "7", "8", "9"]
    with pytest.raises(RuntimeError, match="open the client"):
        await lookstream.AsyncClient().products.delete("7")


async def test_what_became_of_a_result(kafka: Kafka, topics: Topics) -> None:
    result = Result(query_id="q")
    with lookstream.Client() as client:
        client.click(result, "7")
        client.basket(result, "7")
    async with lookstream.AsyncClient() as later:
        await later.purchase(result, "7")
    told: list[Click] = [decode(one.value, Click) for one in read_topic(kafka, topics.click.name)]
    assert [one.action for one in told] == ["click", "basket", "purchase"]
    assert {(one.query_id, one.product_id) for one in told} == {("q", "7")}
    assert len({one.click_id for one in told}) == 3
