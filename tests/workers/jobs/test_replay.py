"""What is replayed is what is live, to the last byte; and it can take its place."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition
from typer.testing import CliRunner

from models.embedding.part_weights import MIN_ITEMS
from models.reranking.linear import load_reranker, packaged_reranker
from stream.connection import Kafka
from stream.dead_letter import read_dead_letters
from stream.delivery import Delivery
from stream.embedded_broker import claim_port
from stream.messages import Result
from stream.publisher import Publisher
from stream.record_file import read_recording
from stream.records import Record
from stream.span_reader import Edge, Span, SpanReader
from stream.topics import create_topics
from tests.doubles.colours import ColourEncoder, data_uri, picture_uri
from tests.doubles.parts import PartsEncoder, painted
from workers.catalog_index import CatalogIndex
from workers.cli import app
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.errors import SettingsError
from workers.evidence.fitted import FittedFile
from workers.evidence.sample import open_sample
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher
from workers.jobs.generations import begin, drop, existing, list_generations, replay_group
from workers.jobs.promotion import promote
from workers.jobs.replay import of_topics, replay_products, replay_queries

COLOURS = ("red", "green", "blue")


@pytest.fixture
def settings(kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A deployment of its own: topics, an index, and a command line that finds them."""
    uri = str(tmp_path / "milvus.db")
    made = Settings.model_validate(
        {
            "data_dir": tmp_path / "data",
            "kafka": {"bootstrap": kafka.bootstrap, "prefix": f"t{tmp_path.name}-{uuid4().hex}"},
            "milvus": {"uri": uri, "kind": "lite"},
            "ingest": {"metrics_port": claim_port()},
        }
    )
    create_topics(kafka, topics_of(made))
    for name, value in {
        "DATA_DIR": str(made.data_dir),
        "KAFKA__BOOTSTRAP": kafka.bootstrap,
        "KAFKA__PREFIX": made.kafka.prefix,
        "INGEST__METRICS_PORT": str(made.ingest.metrics_port),
        "MILVUS__URI": uri,
        "MILVUS__KIND": "lite",
    }.items():
        monkeypatch.setenv(f"LOOKSTREAM_{name}", value)
    monkeypatch.setattr("workers.config.load_models.encoder_of", lambda _settings: ColourEncoder())
    monkeypatch.setattr("index.lifecycle.switch.GRACE_S", 0)  # nobody searches
    return made


def events(first: int = 0, count: int = 20) -> Iterator[tuple[str, bytes | None]]:
    """A catalog's life: upserts, patches, a late one, deletes, a tombstone, poison."""
    for n in range(first, first + count):
        product = f"p{n}"
        upsert = {"type": "upsert", "product_id": product, "title": f"title {n}", "version": 5}
        yield product, orjson.dumps({**upsert, "image": picture_uri(COLOURS[n % 3]), "price": 1.0})
        yield product, orjson.dumps({"type": "patch", "product_id": product, "price": n + 0.5})
        yield product, orjson.dumps({**upsert, "title": "late", "version": 4})
    yield f"p{first}", orjson.dumps({"type": "delete", "product_id": f"p{first}", "version": 9})
    yield f"p{first + 1}", None
    yield "nobody", orjson.dumps({"type": "patch", "product_id": "nobody", "price": 1})
    yield "poison", b"this is no JSON"


def publish(settings: Settings, *pairs: tuple[str, bytes | None], topic: str = "catalog") -> None:
    with Publisher(kafka_of(settings)) as publisher:
        for key, value in pairs:
            publisher.publish(getattr(topics_of(settings), topic).name, key, value)


async def ingest_live(settings: Settings) -> str:
    """What the ingest worker does, its group's commit included; the content hash after it."""
    encoder, topic = ColourEncoder(), topics_of(settings).catalog.name
    index = CatalogIndex(settings, encoder.model_id)

    async def refused(*_: object) -> None:
        return None

    group, span = settings.group("ingest"), Span(Edge.LAST)
    with SpanReader(kafka_of(settings), topic, span, group=group) as reader:
        async with open_fetcher(settings.intake) as fetcher:
            steps = Ingest(fetcher, encoder, index)
            await Delivery(steps.prepare, steps.write, refused).deliver(list(reader))
        reader.save()
    found = index.content_hash()
    index.close()
    return found


def committed(settings: Settings) -> list[int]:
    consumer = Consumer(kafka_of(settings).consumer(settings.group("ingest")))
    topic = topics_of(settings).catalog
    places = [TopicPartition(topic.name, n) for n in range(topic.partitions)]
    offsets = [place.offset for place in consumer.committed(places, timeout=10)]
    consumer.close()
    return offsets


def lookstream(*arguments: str, fails: bool = False) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    if fails:
        assert done.exit_code != 0
        return done.exception
    assert done.exit_code == 0, done.exception
    return orjson.loads(done.stdout.splitlines()[-1])


async def test_all_of_it_replayed_is_what_is_live(settings: Settings) -> None:
    publish(settings, *events())
    live = await ingest_live(settings)
    before = committed(settings)
    candidate = begin(settings, "blue")
    reported: list[int] = []
    group = replay_group(settings, candidate)
    topic = topics_of(settings).catalog.name
    with SpanReader(kafka_of(settings), topic, Span(), group=group) as reader:
        report = await replay_products(
            iter(reader), candidate, ColourEncoder(), on_batch=reported.append
        )
    assert reported[-1] == report.read == 64
    assert (report.applied, report.superseded, report.refused) == (42, 20, 2)
    assert report.classes == {"UnknownProduct": 1, "DecodeError": 1}
    assert {one["error_class"] for one in report.refusals} == set(report.classes)
    assert list(read_dead_letters(kafka_of(settings), topics_of(settings))) == []
    index = CatalogIndex(candidate, ColourEncoder.model_id)
    assert index.content_hash() == live
    index.close()
    assert committed(settings) == before


@pytest.mark.slow
async def test_a_generation_is_weighed_by_itself_and_takes_its_weights_along(
    settings: Settings,
) -> None:
    encoder, candidate = PartsEncoder(), begin(settings, "blue")
    told: list[tuple[int, int]] = []
    records = (
        Record(
            topic="catalog",
            partition=0,
            offset=number,
            key=None,
            value=orjson.dumps(
                {
                    "type": "upsert",
                    "product_id": f"p{number}",
                    "image": data_uri(painted(number)),
                }
            ),
            timestamp_ms=1_700_000_000_000 + number,
        )
        for number in range(MIN_ITEMS)
    )
    await replay_products(records, candidate, encoder, on_weighing=lambda *at: told.append(at))
    weighed = FittedFile(candidate, encoder.model_id).read()
    assert weighed
    assert weighed.of_items == weighed.items == MIN_ITEMS
    assert told[-1] == (weighed.views, weighed.views)
    assert FittedFile(settings, encoder.model_id).read() is None
    await promote(settings, "blue")
    assert FittedFile(settings, encoder.model_id).read() == weighed
    sample = open_sample(settings, encoder.model_id)
    assert len(sample.pictures()) == MIN_ITEMS
    sample.close()


@pytest.mark.slow
def test_a_generation_is_built_caught_up_and_promoted(settings: Settings) -> None:
    publish(settings, *events())
    first = asyncio.run(ingest_live(settings))
    done = lookstream("replay", "--into", "blue", "--only", "products")
    assert done["products"]["content_hash"] == done["products"]["live_content_hash"] == first
    assert done["products"]["same_as_live"]
    assert lookstream("generations", "list")["generations"][0]["items"] == 18
    publish(settings, *events(first=20, count=5))
    live = asyncio.run(ingest_live(settings))
    assert live != first
    again = lookstream("replay", "--into", "blue", "--from", "LAST", "--only", "products")
    assert (again["products"]["read"], again["products"]["content_hash"]) == (19, live)
    publish(settings, *events(first=25, count=1))
    live = asyncio.run(ingest_live(settings))
    done = lookstream("generations", "promote", "blue")
    assert (done["promoted"], done["caught_up"]) == ("blue", 7)
    (previous,) = lookstream("generations", "list")["generations"]
    assert (previous["name"], previous["items"]) == ("previous", 21)
    lookstream("generations", "drop", "previous")
    # Its mirror stays, and that of what was live goes with it.
    mirrors = [file.stem for file in settings.mirror_dir.glob("*.sqlite3")]
    index = CatalogIndex(settings, ColourEncoder.model_id)
    assert index.content_hash() == live
    opened = index.opened()
    assert opened is not None
    assert mirrors == [opened.generation]
    index.close()

    # The next of the same name is another one, and dropping it leaves the live one alone.
    publish(settings, *events(first=30, count=2))
    live = asyncio.run(ingest_live(settings))
    lookstream("replay", "--into", "blue", "--only", "products", "--to", "3")
    assert lookstream("generations", "drop", "blue") == {"dropped": "blue"}
    assert list_generations(settings) == []
    index = CatalogIndex(settings, ColourEncoder.model_id)
    assert index.content_hash() == live
    index.close()


def test_a_promotion_that_fails_leaves_the_generation(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, *events())
    lookstream("replay", "--into", "blue", "--only", "products")

    def fail(*_: object, **__: object) -> None:
        raise SettingsError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("workers.jobs.promotion.promote_collection", fail)
        with pytest.raises(SettingsError, match="disk"):
            asyncio.run(promote(settings, "blue"))
    assert [one.name for one in list_generations(settings)] == ["blue"]
    asyncio.run(promote(settings, "blue"))
    index = CatalogIndex(settings, ColourEncoder.model_id)
    assert index.count() == 18
    index.close()


def test_names_that_are_no_generation_are_an_error(settings: Settings) -> None:
    for name in ("", "../live", "a b", "x" * 25, "a-b", "*"):
        with pytest.raises(SettingsError, match="letters and digits"):
            begin(settings, name)
        with pytest.raises(SettingsError, match="no generation"):
            existing(settings, name)
        with pytest.raises(SettingsError, match="no generation"):
            drop(settings, name)


@pytest.mark.slow
def test_a_recording_replays_to_the_same_index(settings: Settings, tmp_path: Path) -> None:
    publish(settings, *events())
    publish(settings, ("q", b'{"type": "query"}'), topic="query")
    file = tmp_path / "stream.jsonl"
    assert lookstream("record", "catalog", "query", "--out", str(file))["records"] == 65
    assert {one.topic for one in read_recording(file)} == {
        topics_of(settings).catalog.name,
        topics_of(settings).query.name,
    }
    whole = lookstream("replay", "--into", "whole", "--only", "products")
    filed = lookstream("replay", "--into", "file", "--only", "products", "--file", str(file))
    assert filed["products"]["read"] == 64
    assert filed["products"]["content_hash"] == whole["products"]["content_hash"] != ""


@pytest.mark.slow
async def test_queries_are_answered_from_the_generation(settings: Settings) -> None:
    publish(settings, *events())
    asked = [
        orjson.dumps({"type": "query", "query_id": "blue?", "image": picture_uri("blue")}),
        b"no query",
        orjson.dumps({"type": "query", "query_id": "bad", "image": "data:image/png;base64,AAAA"}),
    ]
    publish(settings, *((f"q{n}", value) for n, value in enumerate(asked)), topic="query")
    candidate, encoder, kafka = begin(settings, "blue"), ColourEncoder(), kafka_of(settings)
    with SpanReader(kafka, topics_of(settings).catalog.name, Span(), group="unused") as reader:
        await replay_products(iter(reader), candidate, encoder)
    results: list[Result] = []
    with SpanReader(kafka, topics_of(settings).query.name, Span(), group="unused") as reader:
        report = await replay_queries(
            of_topics(iter(reader), ["any.query"]),
            candidate,
            encoder,
            load_reranker(packaged_reranker("lite2")),
            on_result=results.append,
        )
    assert (report.read, report.applied, report.refused) == (3, 1, 2)
    assert report.classes == {"DecodeError": 1, "PictureRefused": 1}
    (result,) = results
    assert result.query_id == "blue?"
    assert int(result.retrieved[0][1:]) % 3 == 2
    reading = SpanReader(kafka, topics_of(settings).result.name, Span(), group="unused")
    with reading as reader:
        assert list(reader) == [], "a replay answers nobody"


def test_only_the_records_of_a_topic() -> None:
    def record(topic: str) -> Record:
        return Record(topic=topic, partition=0, offset=0, key=None, value=None, timestamp_ms=0)

    records = [record("old.shop.catalog"), record("old.shop.query"), record("catalog")]
    kept = list(of_topics(iter(records), ["lookstream.catalog"]))
    assert [one.topic for one in kept] == ["old.shop.catalog", "catalog"]
