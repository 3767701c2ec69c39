"""From query records to results: fetch for each by itself; encode, probe, rerank in small batches.

A query that can't be answered becomes a rejection with the reason, and the others of its batch are
answered all the same. Each query has a deadline: its picture has come by then, or it is rejected.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from index.errors import MilvusUnavailable
from models.embedding.layout import PartWeights
from models.embedding.protocol import CatalogEncoder, Encoded
from models.errors import ModelError
from models.images.letterbox import Picture
from models.juicer.juice import Juice
from models.reranking.protocol import ListReranker
from stream.codec import decode, encode
from stream.connection import MAX_MESSAGE_BYTES
from stream.delivery import Rejection
from stream.errors import DecodeError
from stream.messages import Impression, Query, QueryJuice, Result, Shown
from stream.readable_id import readable_id
from stream.records import Record
from workers.catalog_index import CatalogIndex
from workers.config.sections import QuerySettings
from workers.deploy.telemetry import timed
from workers.errors import DeadlineExceeded, IntakeError
from workers.evidence.adapted import AdaptedFile
from workers.evidence.fitted import FittedFile
from workers.intake.fetch import Fetcher
from workers.intake.reasons import full_reason, reason_for_asker
from workers.query.part_weights import CatalogPartWeights
from workers.query.rerank import rank

log = structlog.get_logger()

MAX_RESULT_BYTES = MAX_MESSAGE_BYTES - 100_000
"""What Kafka adds to a message counts too."""


@dataclass(frozen=True)
class PreparedQuery:
    """A query ready to be encoded; `received` is on the clock of `time.monotonic`, in seconds."""

    record: Record
    query: Query
    picture: Picture | None
    received: float


@dataclass(frozen=True)
class RejectedQuery:
    """A query that gets no list; `query_id` is None where no id can be read, and none can wait.

    The rejection is for the operator; `told`, if there is one, is what whoever asked may know.
    """

    record: Record
    query_id: str | None
    rejection: Rejection
    told: str | None = None

    @property
    def error(self) -> str:
        """The error of the result."""
        return self.rejection.reason if self.told is None else self.told


class QueryPipeline:
    """Answers queries; `search` is called from one thread at a time."""

    def __init__(
        self,
        fetcher: Fetcher,
        encoder: CatalogEncoder,
        reranker: ListReranker,
        index: CatalogIndex,
        settings: QuerySettings,
        fitted: FittedFile | None = None,
        adapted: AdaptedFile | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._encoder = encoder
        self._reranker = reranker
        self._index = index
        self._part_weights = CatalogPartWeights(encoder, index, fitted, adapted=adapted)
        self._settings = settings

    async def answer(self, records: Sequence[Record]) -> list[Result | RejectedQuery]:
        """One result or rejection per record, in order, when the last of them is ready."""
        prepared = await asyncio.gather(*map(self.prepare, records))
        return await asyncio.to_thread(self.search, prepared)

    async def prepare(self, record: Record) -> PreparedQuery | RejectedQuery:
        """The query with its picture, at the latest at its deadline."""
        received = time.monotonic()
        try:
            query: Query = decode(record.value, Query)
        except DecodeError as error:
            return RejectedQuery(record, readable_id(record.value), Rejection.of(error))
        try:
            picture = None if query.image is None else await self._picture(query.image)
        except IntakeError as error:
            return _without_picture(record, query, error)
        return PreparedQuery(record, query, picture, received)

    async def _picture(self, reference: str) -> Picture:
        limit_s = self._settings.deadline_s
        try:
            with timed("query", "fetch"):
                async with asyncio.timeout(limit_s):
                    decoded = await self._fetcher.decode(await self._fetcher.fetch(reference))
                    return decoded.picture
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the picture did not come within {limit_s:g} s (query.deadline_s): send the "
                "picture itself (a data: URI), or ask again when its server is quicker"
            ) from error

    def search(
        self, prepared: Sequence[PreparedQuery | RejectedQuery]
    ) -> list[Result | RejectedQuery]:
        """One result or rejection per query, in order."""
        queries = [one for one in prepared if isinstance(one, PreparedQuery)]
        results = iter(self._search(queries) if queries else ())
        return [one if isinstance(one, RejectedQuery) else next(results) for one in prepared]

    def _search(self, queries: Sequence[PreparedQuery]) -> list[Result | RejectedQuery]:
        retrying = self._retrying(max(one.received for one in queries))
        try:
            weights = retrying(self._part_weights.now)
            with timed("query", "encode"):
                encoded = [self._encode(one, weights) for one in queries]
            valid = [one for one in encoded if isinstance(one, Encoded)]
            with timed("query", "probe"):
                found = retrying(
                    self._index.search, [one.vector for one in valid], self._settings.candidates
                )
        except MilvusUnavailable as error:
            unavailable = Rejection(f"search is unavailable: {error}", "MilvusUnavailable")
            return [RejectedQuery(one.record, one.query.query_id, unavailable) for one in queries]
        found_for = zip(valid, found.hits, strict=True)
        results: list[Result | RejectedQuery] = []
        for one, vector in zip(queries, encoded, strict=True):
            if isinstance(vector, RejectedQuery):
                results.append(vector)
                continue
            query, hits = next(found_for)
            try:
                with timed("query", "rerank"):
                    answer = rank(query, one.query.text, hits, self._reranker, one.query.top)
            except ModelError as error:
                results.append(RejectedQuery(one.record, one.query.query_id, Rejection.of(error)))
                continue
            result = Result(
                query_id=one.query.query_id,
                items=answer.items,
                retrieved=answer.retrieved,
                juice=query_juice(query.juice) if one.picture is not None else None,
                model_id=self._encoder.model_id,
                bank_version=found.bank_version,
                took_ms=1000 * (time.monotonic() - one.received),
            )
            results.append(_sendable(one.record, result))
        return results

    def _encode(self, one: PreparedQuery, weights: PartWeights) -> Encoded | RejectedQuery:
        try:
            return self._encoder.encode_queries([one.picture], [one.query.text], weights)[0]
        except ModelError as error:
            return RejectedQuery(one.record, one.query.query_id, Rejection.of(error))

    def _retrying(self, received: float) -> Retrying:
        """Retries the index up to the deadline of a query received then, or `retry_s` seconds."""
        # A shopper waits for seconds, not for ever; then the query is rejected.
        left_s = received + self._settings.deadline_s - time.monotonic()
        return Retrying(
            retry=retry_if_exception_type(MilvusUnavailable),
            stop=stop_after_delay(max(0.0, min(self._settings.retry_s, left_s))),
            wait=wait_random_exponential(0.05, 1.0),
            reraise=True,
        )


def _without_picture(record: Record, query: Query, error: IntakeError) -> RejectedQuery:
    """Why its picture could not be had: all of it for the operator, less for whoever asked."""
    reference = query.image or ""
    rejection = Rejection(full_reason(reference, error), type(error).__name__)
    return RejectedQuery(record, query.query_id, rejection, reason_for_asker(reference, error))


def _sendable(record: Record, result: Result) -> Result | RejectedQuery:
    """The result, unless Kafka would refuse it: a hundred products may have long attributes."""
    if len(encode(result)) <= MAX_RESULT_BYTES:
        return result
    reason = (
        f"the list of {len(result.items)} products is larger than a Kafka message may be "
        f"({MAX_RESULT_BYTES:,} bytes): ask for fewer (`top`)"
    )
    return RejectedQuery(record, result.query_id, Rejection(reason, "ResultTooLarge"))


def query_juice(juice: Juice) -> QueryJuice:
    """What the result shows of the query's own picture."""
    return QueryJuice(grid=juice.grid, kept=juice.kept, box=juice.box, classes=juice.classes)


def impression(result: Result, now_ms: int) -> Impression:
    """The impression of a result: what was shown, where, by which model."""
    return Impression(
        event_time=now_ms,
        query_id=result.query_id,
        items=tuple(
            Shown(
                product_id=item.product_id,
                item_id=item.item_id,
                position=item.position,
                score=item.score,
            )
            for item in result.items
        ),
        model_id=result.model_id,
        bank_version=result.bank_version,
    )
