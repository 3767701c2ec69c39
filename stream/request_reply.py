"""Request/reply over Kafka: a query goes out, the result with the same `query_id` comes back.

All clients share one result topic and filter it by key (the correlation id), so an answer costs
no topic and no consumer group. A client reads from the end of the topic at its start; should it
see older results, it ignores their ids.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Self

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from stream.codec import decode, encode
from stream.connection import PROMPT_FETCH_WAIT_MS, Kafka
from stream.errors import BrokerError, DecodeError, RequestTimeout, StreamError
from stream.messages import Query, Result
from stream.records import assign_end, from_confluent
from stream.schema_1 import decode_result
from stream.schema_registry import framing
from stream.topics import Topics

log = logging.getLogger(__name__)

POLL_S = 0.02  # how soon closing and failed sends are noticed; an answer ends the poll at once


class Client:
    """Sends queries and matches results; a context manager, usable from several threads.

    One background thread reads. `timeout_s`: how long `search` and `results` wait for an answer,
    and the client for Kafka at its start.
    Raises `BrokerError` on start if the topics are missing or Kafka does not answer.
    """

    def __init__(self, kafka: Kafka, topics: Topics, timeout_s: float = 10.0) -> None:
        self._kafka = kafka
        self._topics = topics
        self._timeout_s = timeout_s
        self._waiting: dict[bytes, Future[Result]] = {}
        self._lock = threading.Lock()
        self._frame = framing(kafka.schema_registry)
        self._closing = threading.Event()
        self._failed: StreamError | None = None
        # No batching: a shopper waits. And a query is worth nothing after its time-out. An
        # idempotent producer would hold the first one back for 0.5 to 1 s, until it has an id; a
        # query that is in the topic twice is answered twice, and the second answer passed over.
        self._producer = Producer(
            kafka.producer(
                linger_ms=0,
                enable_idempotence=False,
                message_timeout_ms=max(1000, round(timeout_s * 1000)),
            )
        )
        self._consumer = Consumer(kafka.consumer("unused", fetch_wait_max_ms=PROMPT_FETCH_WAIT_MS))
        try:
            assign_end(self._consumer, kafka, topics.result.name, timeout_s=timeout_s)
        except BaseException:
            self._consumer.close()
            raise
        self._thread = threading.Thread(target=self._read, name="results", daemon=True)
        self._thread.start()

    def search(self, query: Query) -> Result:
        """Send a query and wait for its result.

        Raises `RequestTimeout` after `timeout_s` seconds, `BrokerError` if Kafka refuses the
        query, `DecodeError` if a field is out of its bounds. A result whose `error` is
        set is returned like any other.
        """
        return self._wait(query, self.submit(query), self._timeout_s)

    def submit(self, query: Query) -> "Future[Result]":
        """Send the query and return at once; the future gets its result, or a `BrokerError`.

        It is asked in schema 2. A query that no worker could answer, out of a field's bounds, is
        not sent: its future has the `DecodeError`. The future itself never times out; cancel it to
        forget the query.
        """
        answer: Future[Result] = Future()
        query = msgspec.structs.replace(query, schema=2)
        try:
            value = encode(query)
            decode(value, Query)
        except UnicodeEncodeError as error:
            answer.set_exception(DecodeError(f"the query has half a surrogate pair: {error}"))
            return answer
        except DecodeError as error:
            answer.set_exception(error)
            return answer
        key = query.query_id.encode()
        with self._lock:
            if self._failed:
                raise self._failed
            if key in self._waiting:
                raise StreamError(f"query_id {query.query_id} is already waiting for its answer")
            self._waiting[key] = answer
        answer.add_done_callback(lambda _: self._forget(key))
        try:
            self._producer.produce(
                self._topics.query.name,
                key=key,
                value=self._frame(value),
                on_delivery=self._sent,
            )
        except (BufferError, KafkaException) as error:
            answer.cancel()
            raise BrokerError(f"query {query.query_id} was not sent: {error}") from error
        return answer

    def results(
        self, queries: Iterable[Query], window: int = 16
    ) -> Iterator[tuple[Query, Result | StreamError]]:
        """Send many, keeping up to `window` in flight; yields each with its answer, in order.

        A query that got no answer within `timeout_s` seconds of being sent, or was refused,
        comes with the error instead.
        """
        in_flight: deque[tuple[Query, Future[Result], float]] = deque()
        try:
            for query in queries:
                if len(in_flight) >= window:
                    yield self._outcome(*in_flight.popleft())
                in_flight.append((query, self.submit(query), time.monotonic()))
            while in_flight:
                yield self._outcome(*in_flight.popleft())
        finally:
            for _, answer, _ in in_flight:
                answer.cancel()

    def close(self) -> None:
        """Stop reading; queries that still wait are cancelled."""
        self._closing.set()
        self._thread.join()
        with self._lock:
            waiting = list(self._waiting.values())
        for answer in waiting:
            answer.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _outcome(
        self, query: Query, answer: "Future[Result]", sent: float
    ) -> tuple[Query, Result | StreamError]:
        try:
            return query, self._wait(query, answer, sent + self._timeout_s - time.monotonic())
        except StreamError as error:
            return query, error

    def _wait(self, query: Query, answer: "Future[Result]", timeout_s: float) -> Result:
        try:
            return answer.result(max(0.0, timeout_s))
        except TimeoutError as error:
            answer.cancel()
            read = f", and does it read {self._topics.query.name} at {self._kafka.bootstrap}"
            raise no_answer(query.query_id, self._timeout_s, read) from error

    def _read(self) -> None:
        """The background thread: hands results to their futures until the client closes."""
        try:
            while not self._closing.is_set():
                self._producer.poll(0)
                message = self._consumer.poll(POLL_S)
                if message is not None:
                    self._answer(message)
        except StreamError as error:
            self._fail(error)
        finally:
            self._consumer.close()

    def _answer(self, message: Message) -> None:
        if (error := message.error()) and not error.fatal():
            log.warning("reading results: %s", error.str())  # librdkafka recovers by itself
            return
        record = from_confluent(message)
        with self._lock:
            answer = self._waiting.get(record.key or b"")
        if answer is None:
            return  # it is another client's
        try:
            result = decode_result(record.value)
        except StreamError as problem:
            _settle(answer, problem)
        else:
            _settle(answer, result)

    def _sent(self, error: KafkaError | None, message: Message) -> None:
        key = message.key()
        if error is None or not isinstance(key, bytes):
            return
        with self._lock:
            answer = self._waiting.get(key)
        if answer:
            _settle(answer, BrokerError(f"query {key.decode()} was not sent: {error.str()}"))

    def _forget(self, key: bytes) -> None:
        with self._lock:
            self._waiting.pop(key, None)

    def _fail(self, error: StreamError) -> None:
        """No result will be read any more: fail the queries that wait, and all later ones."""
        with self._lock:
            self._failed = error
            waiting = list(self._waiting.values())
        for answer in waiting:
            _settle(answer, error)


def no_answer(query_id: str, timeout_s: float, more: str = "") -> RequestTimeout:
    """The error of a query that got no result; ``more`` goes on with the question in it."""
    return RequestTimeout(
        f"no answer to query {query_id} within {timeout_s:g} s: is a query worker running{more}?"
    )


def _settle(answer: "Future[Result]", outcome: Result | StreamError) -> None:
    """Complete the future unless its owner cancelled it meanwhile."""
    if not answer.set_running_or_notify_cancel():
        return
    if isinstance(outcome, StreamError):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
