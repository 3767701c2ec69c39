"""Queries are answered as they become ready; a slow picture delays only its own query."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from models.images.files import Decoded
from stream.codec import encode
from stream.connection import Kafka
from stream.consumer_loop import ConsumerLoop
from stream.messages import Query, Result
from stream.publisher import Publisher, wait_committed
from stream.records import Record
from stream.topics import Topics
from workers.config.sections import QuerySettings
from workers.errors import FetchError
from workers.query import answer_loop
from workers.query.answer_loop import AnswerLoop
from workers.query.prepared import RejectedQuery
from workers.query.steps import QueryPipeline

SLOW = "https://slow.test/a.png"


class Fetcher:
    """Pictures come when the test lets them: those of `SLOW` after `open`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.fetching = 0

    async def fetch(self, reference: str) -> bytes:
        self.fetching += 1
        try:
            if reference == SLOW:
                await self.open.wait()
            if "gone" in reference:
                raise FetchError("answered 404")
        finally:
            self.fetching -= 1
        return b""

    async def decode(self, data: bytes) -> Decoded:
        return Decoded(np.zeros((8, 8, 3), np.uint8))


class Pipeline(QueryPipeline):
    """Prepares as the real one does, and finds nothing."""

    def __init__(self, settings: QuerySettings, fetcher: Fetcher) -> None:
        super().__init__(fetcher, None, None, None, settings)  # type: ignore[arg-type]
        self.batches: list[int] = []
        self.there = True
        self.looked = 0
        self.followed = 0

    def warm(self) -> bool:
        self.looked += 1
        return self.there

    def follow(self) -> bool:
        self.followed += 1
        return self.followed % 2 == 1

    def search(self, prepared: Sequence[Any]) -> list[Result | RejectedQuery]:
        self.batches.append(len(prepared))
        return [
            one if isinstance(one, RejectedQuery) else Result(query_id=one.query.query_id)
            for one in prepared
        ]

    def _search(self, queries: Sequence[Any]) -> list[Any]:
        raise AssertionError


class Answers:
    """An `AnswerLoop`, and what it published: ids, or (id, class of the rejection)."""

    def __init__(self, **settings: Any) -> None:
        self.fetcher = Fetcher()
        limits = QuerySettings.model_validate({"deadline_s": 30, "batch": 4, **settings})
        self.pipeline = Pipeline(limits, self.fetcher)
        self.published: list[Any] = []
        self.fail: Exception | None = None
        self.loop = AnswerLoop(self.pipeline, self.publish, limits)
        self._taken = 0

    def publish(self, outcomes: Sequence[Result | RejectedQuery]) -> None:
        if self.fail:
            raise self.fail
        self.published += [
            (one.query_id, one.rejection.error_class)
            if isinstance(one, RejectedQuery)
            else one.query_id
            for one in outcomes
        ]

    def take(self, *images: str | None) -> dict[Any, int]:
        records = []
        for image in images:
            query = Query(query_id=f"q{self._taken}", text="lamp", image=image)
            records.append(_record(self._taken, encode(query)))
            self._taken += 1
        return dict(self.loop.take(records))

    async def wait_for(self, *published: Any) -> None:
        await until(lambda: self.published == [*published])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what it waits for happens in other threads
            await asyncio.sleep(0.002)


def _record(offset: int, value: bytes) -> Record:
    return Record(topic="t", partition=0, offset=offset, key=b"k", value=value, timestamp_ms=0)


@asynccontextmanager
async def answering(**settings: Any) -> AsyncIterator[Answers]:
    answers = Answers(**settings)
    async with answers.loop.running():
        yield answers


async def test_text_is_answered_while_a_picture_is_on_its_way() -> None:
    async with answering() as answers:
        answers.take(SLOW, None)
        await answers.wait_for("q1")
        answers.take(None, "https://quick.test/a.png")
        await answers.wait_for("q1", "q2", "q3")
        answers.fetcher.open.set()
        await answers.wait_for("q1", "q2", "q3", "q0")


async def test_an_index_that_comes_later_is_opened_before_anybody_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer_loop, "WARM_EVERY_S", 0.005)
    answers = Answers()
    answers.pipeline.there = False
    async with answers.loop.running():
        await until(lambda: answers.pipeline.looked > 1)
        answers.take(None)
        await answers.wait_for("q0")
        answers.pipeline.there = True
        looked = answers.pipeline.looked
        await until(lambda: answers.pipeline.looked > looked)
        answers.take(None)
        await answers.wait_for("q0", "q1")


async def test_between_queries_the_index_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_loop, "FOLLOW_EVERY_S", 0.005)
    monkeypatch.setattr(answer_loop, "WARM_EVERY_S", 0.005)
    async with answering() as answers:
        await until(lambda: answers.pipeline.followed > 0)
        answers.take(None)
        await answers.wait_for("q0")
        followed = answers.pipeline.followed
        await until(lambda: answers.pipeline.followed > followed + 2)
        answers.take(None)
        await answers.wait_for("q0", "q1")


async def test_nothing_is_committed_before_it_is_answered() -> None:
    async with answering() as answers:
        assert answers.take(None, SLOW, None) == {("t", 0): 0}
        await answers.wait_for("q0", "q2")
        await until(lambda: answers.take() == {("t", 0): 1})
        answers.fetcher.open.set()
        await answers.wait_for("q0", "q2", "q1")
        await until(lambda: answers.take() == {})


async def test_a_picture_that_does_not_come_in_time_is_an_error_that_says_so() -> None:
    async with answering(deadline_s=0.05) as answers:
        answers.take(SLOW, None)
        await answers.wait_for("q1", ("q0", "DeadlineExceeded"))
        assert not answers.fetcher.fetching
    record = _record(0, encode(Query(query_id="q", image=SLOW)))
    rejected = await answers.pipeline.prepare(record)
    assert isinstance(rejected, RejectedQuery)
    assert "did not come within 0.05 s (query.deadline_s)" in rejected.rejection.reason


async def test_queries_with_pictures_are_fetched_at_the_same_time() -> None:
    async with answering() as answers:
        answers.take(*[SLOW] * 9)
        await until(lambda: answers.fetcher.fetching == 9)
        answers.fetcher.open.set()
        await until(lambda: len(answers.published) == 9)
        assert answers.pipeline.batches == [4, 4, 1]


async def test_what_is_under_way_is_bounded() -> None:
    async with answering(in_flight=3) as answers:
        answers.take(SLOW, SLOW)
        assert answers.loop.room() == 1
        answers.take(SLOW)
        assert answers.loop.room() == 0
        answers.fetcher.open.set()
        await until(lambda: answers.loop.room() == 3)


async def test_a_query_without_its_picture_is_rejected_alone() -> None:
    async with answering() as answers:
        answers.take("https://shop.test/gone.png", None)
        await until(lambda: sorted(map(str, answers.published)) == ["('q0', 'FetchError')", "q1"])


async def test_what_can_not_be_published_ends_the_consumer_loop() -> None:
    async with answering() as answers:
        answers.fail = RuntimeError("the broker refuses")
        answers.take(None)
        with pytest.raises(RuntimeError, match="the broker refuses"):
            await until(lambda: answers.take() == {})
        assert answers.published == []


async def test_stopping_waits_for_what_ends_soon_and_leaves_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer_loop, "DRAIN_S", 0.05)
    async with answering() as answers:
        answers.take(None, SLOW)
        assert await asyncio.to_thread(answers.loop.drain) == {("t", 0): 1}
        assert answers.published == ["q0"]
    await until(lambda: not answers.fetcher.fetching)
    assert answers.published == ["q0"]


@pytest.mark.slow
async def test_the_consumer_loop_goes_on_and_commits_up_to_the_slow_one(
    kafka: Kafka, topics: Topics
) -> None:
    topic = topics.query.name
    async with answering(in_flight=4) as answers:
        stopping = threading.Event()
        loop = ConsumerLoop(
            kafka=kafka,
            group=f"{topic}-group",
            topics=(topic,),
            handle=answers.loop.take,
            room=answers.loop.room,
            drain=answers.loop.drain,
            poll_s=0.02,
        )
        running = asyncio.create_task(asyncio.to_thread(loop.run, stopping.is_set, lambda: None))
        with Publisher(kafka) as publisher:
            for number in range(20):
                image = SLOW if number in (2, 7) else None
                query = Query(query_id=f"q{number}", text="lamp", image=image)
                publisher.publish(topic, "one partition", encode(query))
            ends = publisher.flush()[topic]
        await until(lambda: len(answers.published) == 18)
        answers.fetcher.open.set()
        await until(lambda: len(answers.published) == 20)
        await asyncio.to_thread(wait_committed, kafka, f"{topic}-group", topic, ends, timeout_s=20)
        stopping.set()
        await running
