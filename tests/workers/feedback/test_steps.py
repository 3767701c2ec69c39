"""The feedback worker over a real broker: attribution, restarts, refusals."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stream.codec import decode, encode
from stream.connection import Kafka
from stream.dead_letter import DeadLetters, read_dead_letters
from stream.messages import AttributedClick, Click, Impression, Shown
from stream.publisher import Publisher
from stream.records import read_topic
from stream.topics import Topics
from workers.feedback.click_join import ClickJoin
from workers.feedback.steps import Feedback
from workers.feedback.worker import feedback_loop

MAX_WAIT_S = 2.0


@contextmanager
def feedback_worker(kafka: Kafka, topics: Topics) -> Iterator[None]:
    """The worker in a thread, stopped at the end as SIGTERM would."""
    stopping = threading.Event()

    def work() -> None:
        with Publisher(kafka) as publisher:
            clicks = ClickJoin(window_ms=60_000, max_wait_s=MAX_WAIT_S)
            steps = Feedback(topics, publisher, DeadLetters(kafka, topics), clicks)
            group = f"{topics.click.name}-feedback"
            feedback_loop(kafka, group, steps).run(stopping.is_set, lambda: None)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(20)
        assert not thread.is_alive()


def publish(kafka: Kafka, *messages: tuple[str, str, bytes]) -> None:
    with Publisher(kafka) as publisher:
        for topic, key, value in messages:
            publisher.publish(topic, key, value)


def impression(topics: Topics, query_id: str) -> tuple[str, str, bytes]:
    shown = Shown(product_id="p", item_id="p#0", position=1, score=0.5)
    message = Impression(query_id=query_id, items=(shown,), model_id="m", bank_version="v")
    return topics.impression.name, query_id, encode(message)


def click(
    topics: Topics, click_id: str, query_id: str, product: str = "p"
) -> tuple[str, str, bytes]:
    message = Click(click_id=click_id, query_id=query_id, product_id=product)
    return topics.click.name, query_id, encode(message)


def attributed(kafka: Kafka, topics: Topics, expected: int) -> list[AttributedClick]:
    """The attributed clicks, when there are as many as expected or 20 s have passed."""
    deadline = time.monotonic() + 20
    while True:
        found = [
            decode(record.value, AttributedClick)
            for record in read_topic(kafka, topics.attributed_click.name)
        ]
        if len(found) >= expected or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


@pytest.mark.slow
def test_clicks_are_attributed_across_a_restart(kafka: Kafka, topics: Topics) -> None:
    with feedback_worker(kafka, topics):
        publish(kafka, impression(topics, "q1"), impression(topics, "q2"))
        publish(kafka, click(topics, "c1", "q1"))
        first = attributed(kafka, topics, 1)
    assert [(one.click_id, one.item_id, one.position) for one in first] == [("c1", "p#0", 1)]
    # The new worker has seen no impression; the topic remembers them.
    publish(kafka, click(topics, "c2", "q2"))
    with feedback_worker(kafka, topics):
        both = attributed(kafka, topics, 2)
    assert sorted(one.click_id for one in both) == ["c1", "c2"]


@pytest.mark.slow
def test_a_click_that_overtakes_its_impression_waits(kafka: Kafka, topics: Topics) -> None:
    with feedback_worker(kafka, topics):
        publish(kafka, click(topics, "c", "q"))
        time.sleep(0.5)
        publish(kafka, impression(topics, "q"))
        assert len(attributed(kafka, topics, 1)) == 1


@pytest.mark.slow
def test_what_cannot_be_attributed_is_dead_lettered_once(kafka: Kafka, topics: Topics) -> None:
    publish(
        kafka,
        impression(topics, "q"),
        (topics.impression.name, "q", b"garbage"),
        (topics.click.name, "q", b"garbage"),
        click(topics, "stranger", "q", product="never shown"),
        click(topics, "lost", "no such query"),
        click(topics, "good", "q"),
    )
    for _ in range(2):  # the second worker reads the impressions again
        with feedback_worker(kafka, topics):
            assert [one.click_id for one in attributed(kafka, topics, 1)] == ["good"]
            time.sleep(MAX_WAIT_S + 1.5)
    letters = list(read_dead_letters(kafka, topics))
    assert sorted(letter.error_class for letter in letters) == [
        "DecodeError",
        "DecodeError",
        "NoImpression",
        "ProductNotShown",
    ]
