"""The feedback worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import Consumer, TopicPartition

from stream.connection import Kafka, retry_until_leader
from stream.dead_letter import DeadLetters
from stream.publisher import Publisher
from stream.records import from_confluent
from stream.topics import Topics
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.signals import stop_flag, when_ready
from workers.feedback.click_join import ClickJoin
from workers.feedback.steps import BATCH, POLL_S, Feedback


@dataclass
class FeedbackLoop:
    """The consumer around `Feedback`: assignment, offsets, commits."""

    kafka: Kafka
    topics: Topics
    group: str
    feedback: Feedback
    _positions: dict[tuple[str, int], int] = field(default_factory=dict)
    _done: dict[tuple[str, int], int] = field(default_factory=dict)

    def run(self, stopped: Callable[[], bool], on_ready: Callable[[], None]) -> None:
        """Consume until `stopped()`; then commit and leave the group."""
        consumer = Consumer(self.kafka.consumer(self.group))
        names = [self.topics.impression.name, self.topics.click.name]
        consumer.subscribe(names, on_assign=self._assign)
        on_ready()
        try:
            while not stopped():
                records = [from_confluent(m) for m in consumer.consume(BATCH, POLL_S)]
                self.feedback.take(records, time.monotonic())
                for record in records:
                    self._positions[record.topic, record.partition] = record.offset + 1
                self._commit(consumer)
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Clicks from where we left off, impressions from a window ago."""
        since_ms = time.time_ns() // 1_000_000 - self.feedback.attribution.window_ms
        name = self.topics.impression.name
        impressions = [p for p in partitions if p.topic == name]
        clicks = [p for p in partitions if p.topic != name]
        self.feedback.judged = {
            p.partition: max(0, p.offset)
            for p in retry_until_leader(consumer.committed, impressions, timeout=30)
        }
        # Co-partitioned topics and the same group: the impressions of a click's partition are
        # assigned to the same worker (range assignment).
        self._positions.clear()
        self._done.clear()
        self.feedback.attribution.waiting.clear()
        since = [TopicPartition(name, p.partition, since_ms) for p in impressions]
        # A topic made a moment ago has no leader yet, and one whose broker fell gets another.
        starts = retry_until_leader(consumer.offsets_for_times, since, timeout=30)
        consumer.assign(clicks + starts)

    def _commit(self, consumer: Consumer) -> None:
        """Commit what changed, up to the first click that still waits."""
        ends = dict(self._positions)
        for at in ends:
            if (held := self.feedback.waiting_from(*at)) is not None:
                ends[at] = held
        changed = [
            TopicPartition(*at, end) for at, end in ends.items() if end != self._done.get(at)
        ]
        if changed:
            consumer.commit(offsets=changed, asynchronous=True)
            self._done.update(ends)


def run_feedback(settings: Settings) -> None:
    """Attribute clicks until a signal comes."""
    kafka, topics, feedback = kafka_of(settings), topics_of(settings), settings.feedback
    attribution = ClickJoin(round(feedback.window_s * 1000), feedback.patience_s)
    with Publisher(kafka) as publisher:
        join = Feedback(topics, publisher, DeadLetters(kafka, topics), attribution)
        loop = FeedbackLoop(kafka, topics, settings.group("feedback"), join)
        loop.run(stop_flag(), when_ready("feedback", feedback.metrics_port))
