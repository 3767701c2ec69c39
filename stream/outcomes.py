"""The outcome topic: how each record of a batch ended, for producers that want to know.

A producer cannot see whether its record was applied or superseded: the offset is committed either
way. So a worker says it here, one short message per batch and partition, after the batch is
durable. Nothing depends on these messages: if one is lost, its records count as unknown.
"""

import logging
import time
from collections.abc import Iterator, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from stream.codec import decode, encode
from stream.connection import Kafka
from stream.delivery import Ended, Rejection, State
from stream.errors import DecodeError
from stream.messages import Outcomes, RefusedRecord
from stream.records import assign_end, from_confluent, take
from stream.schema_registry import framing
from stream.topics import Topics

log = logging.getLogger(__name__)

MAX_REASON_CHARS = 500
POLL_S = 0.2


class OutcomeWriter:
    """Writes how records ended; never waits for Kafka, and a failure is only logged, once."""

    def __init__(self, kafka: Kafka, topics: Topics, *, timeout_s: float = 30.0) -> None:
        self._topic = topics.outcome.name
        timeout_ms = round(timeout_s * 1000)
        self._producer = Producer(kafka.producer(linger_ms=5, message_timeout_ms=timeout_ms))
        self._frame = framing(kafka.schema_registry)
        self._failed = False

    def write(self, ended: Sequence[Ended]) -> None:
        """Queue one message for each partition that the records came from."""
        for message in by_partition(ended):
            key = f"{message.topic}/{message.partition}"
            try:
                self._producer.produce(
                    self._topic,
                    key=key,
                    value=self._frame(encode(message)),
                    on_delivery=self._delivered,
                )
            except (BufferError, KafkaException) as error:
                self._warn(str(error))
        self._producer.poll(0)

    def close(self) -> None:
        """Give what is queued two seconds."""
        self._producer.flush(2.0)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error:
            self._warn(error.str())

    def _warn(self, why: str) -> None:
        if not self._failed:
            log.warning("outcomes are not written to %s: %s", self._topic, why)
        self._failed = True


def by_partition(ended: Sequence[Ended]) -> Iterator[Outcomes]:
    """One message for each partition, offsets in their order."""
    for topic, partition in dict.fromkeys((one.topic, one.partition) for one in ended):
        here = [one for one in ended if (one.topic, one.partition) == (topic, partition)]
        kinds = sorted({kind for one in here for kind in one.coerced})
        yield Outcomes(
            topic=topic,
            partition=partition,
            applied=tuple(one.offset for one in here if one.end is State.APPLIED),
            superseded=tuple(one.offset for one in here if one.end is State.SUPERSEDED),
            refused=tuple(
                RefusedRecord(
                    offset=one.offset,
                    error_class=one.end.error_class,
                    reason=one.end.reason[:MAX_REASON_CHARS],
                )
                for one in here
                if isinstance(one.end, Rejection)
            ),
            coerced={kind: tuple(o.offset for o in here if kind in o.coerced) for kind in kinds},
        )


class OutcomeReader:
    """Reads outcomes from the end of the topic as it is now.

    Raises `BrokerError` on start if the topic is missing or Kafka does not answer.
    """

    def __init__(self, kafka: Kafka, topics: Topics) -> None:
        self._consumer = Consumer(kafka.consumer("unused"))
        try:
            assign_end(self._consumer, kafka, topics.outcome.name)
        except BaseException:
            self._consumer.close()
            raise

    def read(self, idle_s: float) -> Iterator[Outcomes]:
        """Yield outcomes until none came for `idle_s` seconds.

        What cannot be read is passed over.
        """
        since = time.monotonic()
        while time.monotonic() - since < idle_s:
            for message in take(self._consumer, POLL_S):
                if message.error():
                    continue  # librdkafka recovers by itself
                try:
                    outcomes = decode(from_confluent(message).value, Outcomes)
                except DecodeError as error:
                    log.warning("an outcome cannot be read: %s", error)
                    continue
                since = time.monotonic()
                yield outcomes

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()
