"""A query whose id can be read gets exactly one result, whatever else is wrong with it."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from models.errors import RerankerError
from models.reranking.linear import load_reranker
from stream.codec import encode
from stream.delivery import Rejection
from stream.messages import Query, Result, ResultItem
from stream.records import Record
from stream.schema_1 import decode_result
from stream.topics import topic_map
from tests.doubles.colours import ColourEncoder
from tests.stream.test_readable_id import KEYS, VALUES
from workers.catalog_index import CatalogIndex
from workers.config.sections import IntakeSettings, QuerySettings
from workers.config.settings import Settings
from workers.intake.fetch import open_fetcher
from workers.query.page import Page, PageOf
from workers.query.steps import QueryPipeline
from workers.query.worker import QueryPublisher

TOPICS = topic_map()


class Published:
    """In a publisher's place: keeps what was published."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, bytes]] = []

    def publish(self, topic: str, key: str, value: bytes) -> None:
        self.messages.append((topic, key, value))

    def flush(self) -> None: ...

    def results(self) -> list[Result]:
        """The results, under their keys, as a client reads them."""
        found = [one for one in self.messages if one[0] == TOPICS.result.name]
        results = [decode_result(value) for _, _, value in found]
        assert [key for _, key, _ in found] == [result.query_id for result in results]
        return results


class Letters:
    """In the dead-letter topic's place."""

    def __init__(self) -> None:
        self.rejections: list[Rejection] = []

    def send(self, record: Record, rejection: Rejection, attempts: int) -> None:
        self.rejections.append(rejection)


@dataclass(frozen=True)
class Worker:
    """A query worker without Kafka."""

    runner: asyncio.Runner
    pipeline: QueryPipeline

    def answers(self, *values: bytes) -> list[Result]:
        """The results of a batch of queries."""
        published = Published()
        outcomes = QueryPublisher(TOPICS, published, Letters())  # type: ignore[arg-type]
        records = [
            Record(topic="t", partition=0, offset=n, key=b"k", value=value, timestamp_ms=0)
            for n, value in enumerate(values)
        ]
        outcomes.publish(self.runner.run(self.pipeline.answer(records)))
        return published.results()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """It searches an empty index."""
    encoder = ColourEncoder()
    folder = tmp_path_factory.mktemp("data")
    index = CatalogIndex(Settings.model_validate({"data_dir": folder}), encoder.model_id)
    with asyncio.Runner() as runner:
        opening = open_fetcher(IntakeSettings())
        fetcher = runner.run(opening.__aenter__())
        yield Worker(
            runner, QueryPipeline(fetcher, encoder, load_reranker(), index, QuerySettings())
        )
        runner.run(opening.__aexit__(None, None, None))


FIELDS = st.sampled_from(["type", "schema", "event_time", "text", "top", "image"]) | KEYS
IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=128)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=1200)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(FIELDS, VALUES | TEXTS | st.just("query"), max_size=5),
    IDS,
)
@example({"type": "query", "text": "apple"}, "fine")
@example({"type": "query", "text": "apple", "top": 0}, "q")
@example({"type": "query", "text": "\ud83d"}, "q")
@example({"type": "query", "text": "a", "colour": 2**70}, "q")
@example({"type": "query", "image": "file:///etc/passwd"}, "q")
@example({}, "q")
def test_any_object_with_an_id_gets_one_result(
    worker: Worker, message: dict[str, Any], query_id: str
) -> None:
    [result] = worker.answers(json.dumps({**message, "query_id": query_id}).encode())
    assert result.query_id == query_id


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": "b" * 1001}, ["`text`", "at most 1000 characters, got 1001"]),
        ({"text": "b", "top": 0}, ["`top`", "1 to 100, got 0"]),
        ({"text": "b", "top": 101}, ["`top`", "1 to 100, got 101"]),
        ({"text": "b", "top": "7"}, ["`top`", "expected int, got str"]),
        ({"image": ""}, ["`image`", "at least 1 characters, got 0"]),
        ({"text": "b", "event_time": -1}, ["`event_time`", "0 to 253402300799999, got -1"]),
        ({"text": "b", "colour": "red"}, ["unknown field `colour`", "text, objects, like, filter"]),
        ({"text": " "}, ["the query asks nothing"]),
        ({"type": "click"}, ["field `type` is 'click'", "'query'"]),
    ],
)
def test_the_error_names_the_field_and_its_bounds(
    worker: Worker, fields: dict[str, object], words: list[str]
) -> None:
    good = encode(Query(query_id="good", text="apple"))
    bad = json.dumps({"type": "query", "query_id": "bad", **fields}).encode()
    results = {result.query_id: result for result in worker.answers(good, bad, b"no query")}
    assert set(results) == {"good", "bad"}
    assert results["good"].error is None
    for word in words:
        assert word in str(results["bad"].error)


def test_a_list_that_is_too_large_is_answered_by_an_error(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [
        ResultItem(
            product_id="p",
            item_id="p#0",
            probability=0.5,
            level=0,
            position=n,
            attributes={"essay": "x" * 200_000},
        )
        for n in range(1, 101)
    ]

    def page(making: PageOf, _: object) -> Page:
        return Page(tuple(items[: making._query.top]), (), 100, True, 0.0)

    monkeypatch.setattr(PageOf, "page", page)
    large, small = worker.answers(
        encode(Query(query_id="large", text="apple", top=100)),
        encode(Query(query_id="small", text="apple", top=1)),
    )
    assert (large.query_id, large.items) == ("large", ())
    assert "100 products" in str(large.error)
    assert "ask for fewer (`top`)" in str(large.error)
    assert (small.items, small.error) == (tuple(items[:1]), None)


def test_a_list_that_cannot_be_reranked_is_answered_by_an_error(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RerankerError("made by different models; reindex the catalog")

    monkeypatch.setattr(PageOf, "page", fail)
    [result] = worker.answers(encode(Query(query_id="q", text="apple")))
    assert "reindex the catalog" in str(result.error)
