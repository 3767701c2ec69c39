"""The feedback worker: clicks joined to their impressions become attributed clicks.

Impressions are read from as far back as a click may reach, at every start, and never committed:
the topic itself is the state, so a restart forgets nothing. A click's offset is committed once it
is attributed or dead-lettered; while one waits for its impression, nothing after it is committed.
After a crash a click may be attributed again, under the same key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.codec import decode, encode
from stream.connection import Kafka
from stream.dead_letter import DeadLetters
from stream.delivery import Record, Rejection
from stream.errors import DecodeError
from stream.messages import Click, Impression
from stream.producing import Publisher
from stream.reading import record_of
from stream.topics import Topics
from workers.attribution import Attribution, Waiting
from workers.settings import FeedbackSettings
from workers.telemetry import EVENTS

log = structlog.get_logger()

BATCH = 500
POLL_S = 0.1


@dataclass
class Feedback:
    """Joins one batch of records at a time; `publisher` and `dead_letters` are where they end."""

    topics: Topics
    publisher: Publisher
    dead_letters: DeadLetters
    attribution: Attribution

    def take(self, records: list[Record], now: float) -> None:
        """Bring every record to its end, or let a click wait for its impression."""
        for record in records:
            try:
                if record.topic == self.topics.impression.name:
                    self._impression(record, now)
                else:
                    self._click(decode(record.value, Click), record, now)
            except DecodeError as error:
                self._refuse(record, Rejection.of(error))
        for late in self.attribution.expire(now, time.time_ns() // 1_000_000):
            self._refuse(late.record, _no_impression(late))
        self.publisher.flush()

    def waiting_from(self, topic: str, partition: int) -> int | None:
        """The first offset of a partition that must not be committed yet."""
        offsets = [
            w.record.offset
            for w in self.attribution.waiting
            if (w.record.topic, w.record.partition) == (topic, partition)
        ]
        return min(offsets, default=None)

    def _impression(self, record: Record, now: float) -> None:
        impression = decode(record.value, Impression)
        seen_at = impression.event_time
        ready = self.attribution.see_impression(
            impression, record.timestamp_ms if seen_at is None else seen_at
        )
        for waiting in ready:
            self._click(waiting.click, waiting.record, now)

    def _click(self, click: Click, record: Record, now: float) -> None:
        try:
            attributed = self.attribution.see_click(click, record, now)
        except LookupError as error:
            self._refuse(record, Rejection(str(error), "ProductNotShown"))
            return
        if attributed is not None:
            topic = self.topics.attributed_click.name
            self.publisher.publish(topic, attributed.click_id, encode(attributed))
            EVENTS.labels("feedback", "applied").inc()

    def _refuse(self, record: Record, rejection: Rejection) -> None:
        # Impressions are read again at every start: one letter for each bad one is enough.
        if record.topic == self.topics.impression.name:
            log.warning("unreadable impression", source=record.source, reason=rejection.reason)
            return
        self.dead_letters.send(record, rejection, attempts=1)
        EVENTS.labels("feedback", "dead_lettered").inc()


def _no_impression(late: Waiting) -> Rejection:
    return Rejection(
        f"no impression of query {late.click.query_id!r} was seen: the click is too late, "
        "or its query_id is wrong",
        "NoImpression",
    )


@dataclass
class FeedbackLoop:
    """The consumer around `Feedback`: assignment, offsets, commits."""

    kafka: Kafka
    topics: Topics
    settings: FeedbackSettings
    feedback: Feedback
    _positions: dict[tuple[str, int], int] = field(default_factory=dict)

    def run(self, stopped: Callable[[], bool], on_ready: Callable[[], None]) -> None:
        """Consume until `stopped()`; then commit and leave the group."""
        consumer = Consumer(self.kafka.consumer(self.settings.group))
        names = [self.topics.impression.name, self.topics.click.name]
        consumer.subscribe(names, on_assign=self._assign)
        on_ready()
        try:
            while not stopped():
                messages = consumer.consume(BATCH, POLL_S)
                records = []
                for message in messages:
                    if message.error():
                        raise KafkaException(message.error())
                    records.append(record_of(message))
                self.feedback.take(records, time.monotonic())
                for record in records:
                    self._positions[record.topic, record.partition] = record.offset + 1
                self._commit(consumer)
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Clicks from where we left off, impressions from a window ago."""
        since_ms = time.time_ns() // 1_000_000 - self.feedback.attribution.window_ms
        impressions = [
            TopicPartition(p.topic, p.partition, since_ms)
            for p in partitions
            if p.topic == self.topics.impression.name
        ]
        clicks = [p for p in partitions if p.topic != self.topics.impression.name]
        # Co-partitioned topics and the same group: the impressions of a click's partition are
        # assigned to the same worker (range assignment).
        self._positions.clear()
        self.feedback.attribution.waiting.clear()
        consumer.assign(clicks + consumer.offsets_for_times(impressions, timeout=30))

    def _commit(self, consumer: Consumer) -> None:
        offsets = []
        for (topic, partition), position in self._positions.items():
            if topic == self.topics.click.name:
                held = self.feedback.waiting_from(topic, partition)
                offsets.append(
                    TopicPartition(topic, partition, position if held is None else held)
                )
        if offsets:
            consumer.commit(offsets=offsets, asynchronous=True)
        self._positions = {
            key: position
            for key, position in self._positions.items()
            if key[0] == self.topics.click.name and self.feedback.waiting_from(*key) is not None
        }
