"""Ask and be answered, on both brokers, with an echo in the query worker's place."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from stream.codec import decode
from stream.connection import Kafka
from stream.errors import BrokerError, DecodeError, RequestTimeout, StreamError
from stream.messages import Query, Result
from stream.publisher import Publisher
from stream.records import read_topic
from stream.request_reply import Client
from stream.schema_1 import encode_result
from stream.topics import Topics, create_topics, topic_map


def ask(text: str) -> Query:
    return Query(query_id=uuid.uuid4().hex, text=text)


@pytest.fixture
def echo(kafka: Kafka, topics: Topics) -> Iterator[None]:
    """Answers each query with its text as model id; ignores 'silence', garbles 'garble'."""
    leaving = threading.Event()
    consumer = Consumer(kafka.consumer(f"echo-{topics.query.name}"))
    consumer.subscribe([topics.query.name])
    publisher = Publisher(kafka, linger_ms=0)

    def serve() -> None:
        while not leaving.is_set():
            message = consumer.poll(0.02)
            if message is None or message.error():
                continue
            query: Query = decode(message.value(), Query)
            if query.text == "silence":
                continue
            # As a worker does that answers each query in its own schema.
            result = Result(
                schema=query.schema, query_id=query.query_id, model_id=query.text or "", found=7
            )
            value = b"{" if query.text == "garble" else encode_result(result)
            publisher.publish(topics.result.name, query.query_id, value)
        consumer.close()
        publisher.flush()

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    leaving.set()
    thread.join()


@pytest.mark.slow
@pytest.mark.usefixtures("echo")
def test_answers_find_their_queries(kafka: Kafka, topics: Topics) -> None:
    with Client(kafka, topics) as client, Client(kafka, topics) as other:
        answer = client.search(ask("first"))
        assert (answer.model_id, answer.schema, answer.found) == ("first", 2, 7)
        assert other.search(ask("second")).model_id == "second"
        queries = [ask(f"text {i}") for i in range(100)]
        answered = list(client.results(iter(queries), window=8))
        assert [query for query, _ in answered] == queries
        for query, result in answered:
            assert isinstance(result, Result)
            assert result.model_id == query.text
        first = ask("one at a time")
        waiting = client.submit(first)
        with pytest.raises(StreamError, match="already waiting"):
            client.submit(first)
        assert waiting.result(10).query_id == first.query_id


@pytest.mark.slow
@pytest.mark.usefixtures("echo")
def test_silence_and_garbage(kafka: Kafka, topics: Topics) -> None:
    with Client(kafka, topics, timeout_s=8) as client:
        client.search(ask("hello"))  # the echo has joined
    # Not less: a message that a busy machine does not send within this time is given up, and the
    # embedded broker then takes the producer for an old one.
    with Client(kafka, topics, timeout_s=2) as client:
        with pytest.raises(RequestTimeout, match=r"within 2 s: is a query worker running"):
            client.search(ask("silence"))
        with pytest.raises(DecodeError, match="not JSON"):
            client.search(ask("garble"))
        answers = [answer for _, answer in client.results(map(ask, ["a", "silence", "b"]))]
        assert [type(answer) for answer in answers] == [Result, RequestTimeout, Result]
        waiting = client.submit(ask("silence"))
    with pytest.raises(CancelledError):
        waiting.result(1)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (Query(query_id="q", text="b" * 1001), "`text`: .* at most 1000 characters, got 1001"),
        (Query(query_id="q", text="b", top=0), "`top`: .* 1 to 100, got 0"),
        (Query(query_id="i" * 129, text="b"), "`query_id`: .* 1 to 128 characters, got 129"),
        (Query(query_id="a\nb", text="b"), "`query_id`: control characters"),
        (Query(query_id="q", text="lamp \ud83d"), "half a surrogate pair"),
    ],
)
def test_what_no_worker_could_answer_is_not_waited_for(
    embedded: Kafka, query: Query, words: str
) -> None:
    topics = topic_map(f"bounds-{uuid.uuid4().hex[:8]}")
    create_topics(embedded, topics)
    with Client(embedded, topics, timeout_s=60) as client:
        with pytest.raises(DecodeError, match=words):
            client.search(query)
        [(asked, error)] = client.results([query])
    assert asked is query
    assert isinstance(error, DecodeError)
    assert not list(read_topic(embedded, topics.query.name))


def test_missing_topics_are_said_so(embedded: Kafka) -> None:
    with pytest.raises(BrokerError, match=r"topic absent\.result does not exist"):
        Client(embedded, topic_map("absent"))


def test_the_first_query_waits_for_no_producer_id(
    kafka: Kafka, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    def producer(settings: dict[str, Any]) -> Producer:
        made.append(settings)
        one: Producer = Producer(settings)
        return one

    monkeypatch.setattr("stream.request_reply.Producer", producer)
    with Client(kafka, topics, timeout_s=5) as client:
        sent = ask("first")
        client.submit(sent).cancel()
        assert not made[0]["enable.idempotence"]
        client._producer.flush(5)
    [record] = read_topic(kafka, topics.query.name)
    assert record.key == sent.query_id.encode()


def test_no_broker_is_said_so() -> None:
    with pytest.raises(BrokerError, match="no Kafka answers"):
        Client(Kafka(bootstrap="127.0.0.1:1"), topic_map(), timeout_s=1)
