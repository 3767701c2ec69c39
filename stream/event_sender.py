"""Durable messages one at a time: a future for each, with the place where Kafka put it."""

import re
import threading
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.connection import Kafka
from stream.errors import BrokerError, DecodeError
from stream.schema_registry import framing

POLL_S = 0.05


_EVENT_ID = re.compile(r"([0-9]{1,9})-([0-9]{1,18})")


class Place(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    @property
    def event_id(self) -> str:
        """What an event is called by whoever sent it: its partition and offset."""
        return f"{self.partition}-{self.offset}"

    @classmethod
    def of_event(cls, event_id: str, topic: str) -> Self:
        """Where the event with an id lies; raises `DecodeError` for what is no id."""
        found = _EVENT_ID.fullmatch(event_id)
        if not found:
            raise DecodeError(
                f"{event_id[:100]!r} is no id of an event: it is like 0-17", "event_id"
            )
        return cls(topic, int(found[1]), int(found[2]))


class EventSender:
    """Sends messages from several threads; a context manager that waits for what is under way.

    `timeout_s`: how long a message may take until its future fails.
    """

    def __init__(self, kafka: Kafka, *, timeout_s: float = 10.0) -> None:
        self._bootstrap = kafka.bootstrap
        self._timeout_s = timeout_s
        timeout_ms = max(1000, round(timeout_s * 1000))
        self._producer = Producer(kafka.producer(linger_ms=0, message_timeout_ms=timeout_ms))
        self._frame = framing(kafka.schema_registry)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="deliveries", daemon=True)
        self._thread.start()

    def send(self, topic: str, key: str, value: bytes) -> "Future[Place]":
        """Queue a message; the future is done when every in-sync replica has it.

        It gets a `BrokerError` if Kafka refuses the message, or does not confirm it in time.
        """
        sent: Future[Place] = Future()
        try:
            self._producer.produce(
                topic,
                key=key,
                value=self._frame(value),
                on_delivery=partial(self._delivered, sent),
            )
        except BufferError:
            sent.set_exception(
                BrokerError(f"{topic}: too many messages wait for {self._bootstrap}; try again")
            )
        except KafkaException as error:
            why = error.args[0].str()
            sent.set_exception(BrokerError(f"{topic}: the message was rejected: {why}"))
        return sent

    def close(self) -> None:
        """Wait for the messages under way, as long as each may take."""
        self._producer.flush(self._timeout_s + 1)
        self._closing.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(POLL_S)

    @staticmethod
    def _delivered(sent: "Future[Place]", error: KafkaError | None, message: Message) -> None:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if not sent.set_running_or_notify_cancel():
            return
        if error or topic is None or partition is None or offset is None:
            why = error.str() if error else "no offset"
            sent.set_exception(BrokerError(f"{topic}: the message was not delivered: {why}"))
        else:
            sent.set_result(Place(topic, partition, offset))
