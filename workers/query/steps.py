"""From query records to results: fetch, encode, probe, rerank, for one small batch at a time.

A query that can't be answered becomes a rejection with the reason, and the others of its batch are
answered all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from index.errors import StoreUnavailable
from models.embedding.layout import PartWeights
from models.embedding.protocol import CatalogEncoder, Encoded
from models.errors import ModelError
from models.juicer.juice import Juice
from models.reranking.linear import Reranker
from stream.codec import decode
from stream.delivery import Rejection
from stream.errors import DecodeError
from stream.messages import Impression, Query, QueryJuice, Result, Shown
from stream.records import Record
from workers.catalog_index import CatalogIndex
from workers.config.sections import QuerySettings
from workers.deploy.telemetry import timed
from workers.errors import IntakeError
from workers.intake.fetch import Fetcher
from workers.query.part_weights import CatalogPartWeights
from workers.query.rerank import rank

log = structlog.get_logger()


@dataclass(frozen=True)
class PreparedQuery:
    """A query ready to be encoded; `received` is on the clock of `time.perf_counter`."""

    record: Record
    query: Query
    picture: np.ndarray | None
    received: float


@dataclass(frozen=True)
class RejectedQuery:
    """A query that gets no list; `query_id` is None where the record is no query at all."""

    record: Record
    query_id: str | None
    rejection: Rejection


class QueryPipeline:
    """Answers batches of queries; `answer` is called from one task at a time."""

    def __init__(
        self,
        fetcher: Fetcher,
        encoder: CatalogEncoder,
        reranker: Reranker,
        index: CatalogIndex,
        settings: QuerySettings,
    ) -> None:
        self._fetcher = fetcher
        self._encoder = encoder
        self._reranker = reranker
        self._index = index
        self._part_weights = CatalogPartWeights(encoder, index)
        self._settings = settings

    async def answer(self, records: Sequence[Record]) -> list[Result | RejectedQuery]:
        """One result or rejection per record, in order."""
        received = time.perf_counter()
        with timed("query", "fetch"):
            prepared = await asyncio.gather(*(self._prepare(one, received) for one in records))
        queries = [one for one in prepared if isinstance(one, PreparedQuery)]
        results = iter(await asyncio.to_thread(self._search, queries))
        return [one if isinstance(one, RejectedQuery) else next(results) for one in prepared]

    async def _prepare(self, record: Record, received: float) -> PreparedQuery | RejectedQuery:
        query_id = None
        try:
            query: Query = decode(record.value, Query)
            query_id = query.query_id
            picture = None
            if query.image is not None:
                data = await self._fetcher.fetch(query.image)
                picture = await self._fetcher.decode(data)
        except (DecodeError, IntakeError) as error:
            return RejectedQuery(record, query_id, Rejection.of(error))
        return PreparedQuery(record, query, picture, received)

    def _search(self, queries: Sequence[PreparedQuery]) -> list[Result | RejectedQuery]:
        try:
            weights = self._retrying()(self._part_weights.now)
            with timed("query", "encode"):
                encoded = [self._encode(one, weights) for one in queries]
            valid = [one for one in encoded if isinstance(one, Encoded)]
            with timed("query", "probe"):
                found = self._retrying()(
                    self._index.search, [one.vector for one in valid], self._settings.candidates
                )
        except StoreUnavailable as error:
            unavailable = Rejection(f"search is unavailable: {error}", "StoreUnavailable")
            return [RejectedQuery(one.record, one.query.query_id, unavailable) for one in queries]
        found_for = zip(valid, found.hits, strict=True)
        results: list[Result | RejectedQuery] = []
        for one, vector in zip(queries, encoded, strict=True):
            if isinstance(vector, RejectedQuery):
                results.append(vector)
                continue
            query, hits = next(found_for)
            with timed("query", "rerank"):
                answer = rank(query, one.query.text, hits, self._reranker, one.query.top)
            results.append(
                Result(
                    query_id=one.query.query_id,
                    items=answer.items,
                    retrieved=answer.retrieved,
                    juice=query_juice(query.juice) if one.picture is not None else None,
                    model_id=self._encoder.model_id,
                    bank_version=found.bank_version,
                    took_ms=1000 * (time.perf_counter() - one.received),
                )
            )
        return results

    def _encode(self, one: PreparedQuery, weights: PartWeights) -> Encoded | RejectedQuery:
        try:
            return self._encoder.encode_queries([one.picture], [one.query.text], weights)[0]
        except ModelError as error:
            return RejectedQuery(one.record, one.query.query_id, Rejection.of(error))

    def _retrying(self) -> Retrying:
        # A shopper waits for seconds, not for ever; then the query is rejected.
        return Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            stop=stop_after_delay(self._settings.retry_s),
            wait=wait_random_exponential(0.05, 1.0),
            reraise=True,
        )


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
