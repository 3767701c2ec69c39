"""The query worker: a shopper's photo and words in, a calibrated list out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from stream.codec import encode
from stream.connection import PROMPT_FETCH_WAIT_MS
from stream.consumer_loop import ConsumerLoop
from stream.dead_letter import DeadLetters
from stream.messages import Result
from stream.publisher import Publisher
from stream.schema_1 import encode_result
from stream.topics import Topics
from workers.catalog_index import CatalogIndex
from workers.config.load_models import encoder_of, reranker_of
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.signals import WAIT_FOR_INDEX_S, stop_flag, when_ready
from workers.deploy.telemetry import EVENTS
from workers.evidence.adapted import AdaptedFile
from workers.evidence.calibrated import CalibratedFile
from workers.evidence.fitted import FittedFile
from workers.intake.fetch import Fetcher, open_fetcher
from workers.model_fit import check_model
from workers.query.answer_loop import AnswerLoop
from workers.query.candidate_pictures import CandidatePictures
from workers.query.follow import FollowingPipeline
from workers.query.prepared import RejectedQuery
from workers.query.result import impression
from workers.query.steps import QueryPipeline, log

# How soon a signal to stop is noticed; a query is taken the moment it comes.
POLL_S = 0.05


@dataclass
class QueryPublisher:
    """Where queries end: results, impressions and dead letters."""

    topics: Topics
    publisher: Publisher
    dead_letters: DeadLetters

    def publish(self, outcomes: Sequence[Result | RejectedQuery]) -> None:
        """Publish the outcomes; they are durable when it returns."""
        for outcome in outcomes:
            if isinstance(outcome, RejectedQuery):
                self._reject(outcome)
            else:
                self._publish(outcome)
        self.publisher.flush()

    def _publish(self, result: Result) -> None:
        key, now_ms = result.query_id, time.time_ns() // 1_000_000
        self.publisher.publish(self.topics.result.name, key, encode_result(result))
        shown = impression(result, now_ms)
        self.publisher.publish(self.topics.impression.name, key, encode(shown))
        EVENTS.labels("query", "applied").inc()

    def _reject(self, rejected: RejectedQuery) -> None:
        log.warning(
            "query rejected",
            query_id=rejected.query_id,
            source=rejected.record.source,
            why=rejected.rejection.reason,
        )
        if result := rejected.result:
            value = encode_result(result)
            self.publisher.publish(self.topics.result.name, result.query_id, value)
        self.dead_letters.send(rejected.record, rejected.rejection, attempts=1)
        EVENTS.labels("query", "dead_lettered").inc()


def run_query(settings: Settings) -> None:
    """Answer queries until a signal comes."""
    asyncio.run(_answer_queries(settings))


async def _answer_queries(settings: Settings) -> None:
    kafka, topics = kafka_of(settings), topics_of(settings)
    async with open_fetcher(settings.intake) as fetcher:
        pictures = CandidatePictures(fetcher, settings.query.picture_cache_mb * 1_000_000)
        pipeline = await asyncio.to_thread(
            FollowingPipeline, lambda: _pipeline(settings, fetcher, pictures)
        )
        with Publisher(kafka, linger_ms=0) as publisher, closing(pipeline):
            outcomes = QueryPublisher(topics, publisher, DeadLetters(kafka, topics))
            answers = AnswerLoop(pipeline, outcomes.publish, settings.query)
            loop = ConsumerLoop(
                kafka=kafka,
                group=settings.group("query"),
                topics=(topics.query.name,),
                handle=answers.take,
                room=answers.room,
                drain=answers.drain,
                max_batch=settings.query.batch,
                poll_s=POLL_S,
                fetch_wait_ms=PROMPT_FETCH_WAIT_MS,
            )
            async with answers.running():
                ready = when_ready("query", settings)
                await asyncio.to_thread(loop.run, stop_flag(), ready)


def _pipeline(settings: Settings, fetcher: Fetcher, pictures: CandidatePictures) -> QueryPipeline:
    """What answers queries with the encoder that is in effect now.

    Raises:
        ModelMismatch: the index is of another.
    """
    encoder = encoder_of(settings)
    reranker = reranker_of(settings, encoder)
    if reranker.note:
        log.warning("scores are not calibrated on this encoder", why=reranker.note)
    check_model(settings, encoder.model_id, WAIT_FOR_INDEX_S)
    index = CatalogIndex(settings, encoder.model_id, encoder.empty_vocabulary)
    fitted = FittedFile(settings, encoder.model_id)
    adapted = AdaptedFile(settings, encoder.model_id)
    calibrated = CalibratedFile(settings, encoder.model_id)
    pipeline = QueryPipeline(
        fetcher, encoder, reranker, index, settings.query, fitted, adapted, pictures, calibrated
    )
    pipeline.load_words()
    pipeline.warm()
    return pipeline
