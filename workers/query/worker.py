"""The query worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer

from stream.codec import encode
from stream.connection import PROMPT_FETCH_WAIT_MS, Kafka
from stream.dead_letter import DeadLetters
from stream.messages import Result
from stream.publisher import Publisher
from stream.records import Record, from_confluent
from stream.topics import Topics
from workers.catalog_index import CatalogIndex
from workers.config.load_models import encoder_of, reranker_of
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.signals import stop_flag, when_ready
from workers.deploy.telemetry import EVENTS
from workers.intake.fetch import open_fetcher
from workers.query.steps import POLL_S, Answering, Refused, impression, log


@dataclass
class QueryLoop:
    """The consumer around `Answering`: take what is there, answer, make it durable, commit."""

    kafka: Kafka
    topics: Topics
    group: str
    batch: int
    answering: Answering
    publisher: Publisher
    dead_letters: DeadLetters

    def run(
        self, runner: asyncio.Runner, stopped: Callable[[], bool], on_ready: Callable[[], None]
    ) -> None:
        """Consume until `stopped()`; then leave the group."""
        consumer = Consumer(self.kafka.consumer(self.group, fetch_wait_max_ms=PROMPT_FETCH_WAIT_MS))
        consumer.subscribe([self.topics.query.name])
        on_ready()
        try:
            while not stopped():
                records = self._take(consumer)
                if records:
                    outcomes = runner.run(self.answering.answer(records))
                    self._publish(outcomes)
                    consumer.commit(asynchronous=True)
        finally:
            consumer.close()

    def _take(self, consumer: Consumer) -> list[Record]:
        """The first record when it comes, and what else is there at that moment."""
        first = consumer.poll(POLL_S)
        if first is None:
            return []
        rest = consumer.consume(self.batch - 1, 0) if self.batch > 1 else []
        return [from_confluent(message) for message in (first, *rest)]

    def _publish(self, outcomes: Sequence[Result | Refused]) -> None:
        now_ms = time.time_ns() // 1_000_000
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                self._refuse(outcome)
                continue
            key = outcome.query_id
            self.publisher.publish(self.topics.result.name, key, encode(outcome))
            shown = encode(impression(outcome, now_ms))
            self.publisher.publish(self.topics.impression.name, key, shown)
            EVENTS.labels("query", "applied").inc()
        self.publisher.flush()

    def _refuse(self, refused: Refused) -> None:
        log.warning("query refused", source=refused.record.source, why=refused.rejection.reason)
        if refused.query_id is not None:
            sorry = Result(query_id=refused.query_id, error=refused.rejection.reason)
            self.publisher.publish(self.topics.result.name, refused.query_id, encode(sorry))
        self.dead_letters.send(refused.record, refused.rejection, attempts=1)
        EVENTS.labels("query", "dead_lettered").inc()


def run_query(settings: Settings) -> None:
    """Answer queries until a signal comes."""
    kafka, topics = kafka_of(settings), topics_of(settings)
    encoder = encoder_of(settings)
    reranker = reranker_of(settings, encoder)
    index = CatalogIndex(settings, encoder.model_id)
    with asyncio.Runner() as runner, Publisher(kafka, linger_ms=0) as publisher:
        opening = open_fetcher(settings.intake)
        fetcher = runner.run(opening.__aenter__())
        loop = QueryLoop(
            kafka=kafka,
            topics=topics,
            group=settings.group("query"),
            batch=settings.query.batch,
            answering=Answering(fetcher, encoder, reranker, index, settings.query),
            publisher=publisher,
            dead_letters=DeadLetters(kafka, topics),
        )
        try:
            loop.run(runner, stop_flag(), when_ready("query", settings.query.metrics_port))
        finally:
            runner.run(opening.__aexit__(None, None, None))
            index.close()
