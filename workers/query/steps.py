"""From query records to results: fetch for each by itself; encode, probe, rerank in small batches.

A query that can't be answered becomes a rejection with the reason, and the others of its batch are
answered all the same. Each query has a deadline: its picture has come by then, or it is rejected.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import msgspec
import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from index.errors import MilvusUnavailable, SearchIndexError
from index.item import Item
from index.search.retrieve import Request, Retrieved
from models.embedding.layout import PartWeights
from models.embedding.protocol import CatalogEncoder, Encoded
from models.errors import ModelError
from models.images.letterbox import Picture
from models.reranking.catalog_shift import NO_SHIFT, CatalogShift
from models.reranking.protocol import ListReranker
from stream.codec import decode
from stream.delivery import Rejection
from stream.errors import DecodeError
from stream.messages import Query, QueryError, QueryImage, Result
from stream.readable_id import readable_id
from stream.records import Record
from stream.schema_1 import schema_of
from workers.catalog_index import CatalogIndex, Found
from workers.config.sections import QuerySettings
from workers.deploy.telemetry import timed
from workers.errors import DeadlineExceeded, IntakeError
from workers.evidence.adapted import AdaptedFile
from workers.evidence.calibrated import CalibratedFile
from workers.evidence.fitted import FittedFile
from workers.intake.fetch import Fetcher
from workers.query.candidate_pictures import CandidatePictures
from workers.query.compose import BoxTooSmall, WeighedPicture, compose, crop
from workers.query.objects import AskedObject, ask_objects, group_of
from workers.query.page import Page, PageOf, request_of
from workers.query.parse import parse
from workers.query.part_weights import CatalogPartWeights
from workers.query.picture_reranker import RerankersOf, main_picture
from workers.query.prepared import (
    PreparedQuery,
    RejectedQuery,
    sendable,
    unavailable,
    without_picture,
)
from workers.query.result import result_of

log = structlog.get_logger()


class QueryPipeline:
    """Answers queries; `search` is called from one thread at a time.

    `pictures` are those of candidates, for a reranker that looks at them.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        encoder: CatalogEncoder,
        reranker: ListReranker,
        index: CatalogIndex,
        settings: QuerySettings,
        fitted: FittedFile | None = None,
        adapted: AdaptedFile | None = None,
        pictures: CandidatePictures | None = None,
        calibrated: CalibratedFile | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._encoder = encoder
        self._reranker = reranker
        self._pictures = pictures
        self._index = index
        self._part_weights = CatalogPartWeights(encoder, index, fitted, adapted=adapted)
        self._settings = settings
        self._calibrated = calibrated

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def load_words(self) -> None:
        """Load what only words need, so that nobody waits for it."""
        if self._encoder.reads_words:
            (query,) = self._encoder.encode_queries([None], ["shoes"])
            self._encoder.part_weights(query.vector[None])

    def warm(self) -> bool:
        """Open the index and fill its table, so that no query waits for it; whether it is there.

        Called from the thread that calls `search`.

        Raises:
            ModelMismatch: the index is of another model.
        """
        try:
            self._part_weights.now()
            self._index.warm()
            return bool(self._index.bank_version())
        except MilvusUnavailable as error:
            log.warning("the table of products is filled later", why=str(error))
            return False

    def follow(self) -> bool:
        """Take in some of what was written since the last query; whether there may be more.

        Called from the thread that calls `search`.
        """
        try:
            return self._index.follow()
        except SearchIndexError:
            return False  # the next query says what it is

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
            told = QueryError(code="invalid_query", message=str(error), field=error.field)
            return RejectedQuery(record, readable_id(record.value), Rejection.of(error), told)
        parsed = parse(query)
        if isinstance(parsed, QueryError):
            rejection = Rejection(parsed.message, "FilterError")
            return RejectedQuery(record, query.query_id, rejection, parsed)
        single = (QueryImage(image=query.image),) if query.image is not None else ()
        images = query.images or single
        fetched = await asyncio.gather(
            *(self._picture(one.image) for one in images), return_exceptions=True
        )
        pictures: list[WeighedPicture] = []
        for number, (one, picture) in enumerate(zip(images, fetched, strict=True)):
            field = f"images[{number}]" if query.images else "image"
            if isinstance(picture, IntakeError):
                return without_picture(record, query, one.image, field, picture)
            if isinstance(picture, BaseException):
                raise picture
            try:
                shown = picture if one.box is None else crop(picture, one.box)
            except BoxTooSmall as error:
                told = QueryError(code="invalid_query", message=str(error), field=f"{field}.box")
                return RejectedQuery(record, query.query_id, Rejection.of(error), told)
            pictures.append(WeighedPicture(shown, one.weight))
        return PreparedQuery(record, query, parsed, tuple(pictures), received, time.monotonic())

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
        began = time.monotonic()
        try:
            weights = retrying(self._part_weights.now)
            queries = retrying(self._repair, queries)
            liked = retrying(
                self._index.first_items,
                list(dict.fromkeys(like for one in queries for like in one.query.like)),
            )
            with timed("query", "encode"):
                encoded = [self._encode(one, liked, weights) for one in queries]
                objects = [
                    self._objects(one, weights) if isinstance(vector, Encoded) else []
                    for one, vector in zip(queries, encoded, strict=True)
                ]
            encoded_at = time.monotonic()
            requests = [
                request_of(one.query, one.parsed, vector, self._settings.candidates)
                for one, whole, parts in zip(queries, encoded, objects, strict=True)
                if isinstance(whole, Encoded)
                for vector in (whole, *(part.encoded for part in parts))
            ]
            with timed("query", "probe"):
                found = retrying(self._index.find, requests)
        except MilvusUnavailable as error:
            return [unavailable(one, error) for one in queries]
        batch = Batch(began, encoded_at, time.monotonic(), found)
        found_for = zip(requests, found.retrieved, strict=True)
        return [
            vector
            if isinstance(vector, RejectedQuery)
            else self._answer(
                one, vector, parts, list(islice(found_for, 1 + len(parts))), batch, liked
            )
            for one, vector, parts in zip(queries, encoded, objects, strict=True)
        ]

    def _answer(
        self,
        one: PreparedQuery,
        encoded: Encoded,
        objects: Sequence[AskedObject],
        found: Sequence[tuple[Request, Retrieved]],
        batch: Batch,
        liked: Mapping[str, Item],
    ) -> Result | RejectedQuery:
        def more(deeper: Request) -> Retrieved:
            [answer] = self._retrying(one.received)(self._index.find, [deeper]).retrieved
            return answer

        def page_of(
            asked: Encoded, shown: Picture | None, request: Request, retrieved: Retrieved
        ) -> Page:
            reranker, has_parts = rerankers(shown), self._encoder.has_parts
            shift = self._shift(query, asked)
            making = PageOf(query, asked, request, reranker, more, has_parts, shift)
            return making.page(retrieved)

        query, began = one.query, time.monotonic()
        like = liked[query.like[0]] if query.like else None
        # Counted for all of a batch together, so that the last of it does not wait for all others.
        until = batch.retrieved + self._settings.rerank_s
        rerankers = RerankersOf(self._reranker, self._pictures, like, until)
        try:
            with timed("query", "rerank"):
                page = page_of(encoded, main_picture(one.pictures), *found[0])
                groups = [
                    group_of(part, page_of(part.encoded, part.picture, *of_part))
                    for part, of_part in zip(objects, found[1:], strict=True)
                ]
        except ModelError as error:
            return RejectedQuery.because(one, Rejection.of(error), "not_comparable")
        except MilvusUnavailable as error:
            return unavailable(one, error)
        times = _stages(one, batch, began, time.monotonic())
        model_id = self._encoder.model_id
        result = result_of(
            query,
            encoded,
            page,
            found[0][1],
            batch.found,
            model_id,
            times,
            groups,
            rerankers.not_reranked,
        )
        if one.repaired:
            result = msgspec.structs.replace(result, searched_for=query.text)
        return sendable(one, result)

    def _shift(self, query: Query, asked: Encoded) -> CatalogShift:
        """What the catalog corrects the scores of a query by; its evidence is of pictures alone."""
        if self._calibrated is None or query.text or not asked.juice.has_picture:
            return NO_SHIFT
        return self._calibrated.shift_for(self._reranker)

    def _repair(self, queries: Sequence[PreparedQuery]) -> list[PreparedQuery]:
        """Queries with the words that the catalog has for theirs.

        Not those of schema 1, whose results could not say so.
        """
        if not any(map(_repairable, queries)):
            return list(queries)
        vocabulary = self._index.vocabulary()
        if vocabulary is None:
            return list(queries)
        return [
            _with_words(one, vocabulary.repair(one.query.text or "")) if _repairable(one) else one
            for one in queries
        ]

    def _encode(
        self, one: PreparedQuery, liked: Mapping[str, Item], weights: PartWeights
    ) -> Encoded | RejectedQuery:
        query = one.query
        if unknown := [like for like in query.like if like not in liked]:
            reason = f"field `like`: there is no product {unknown[0]!r} in the index"
            return RejectedQuery.because(
                one, Rejection(reason, "UnknownProduct"), "unknown_product", "like"
            )
        items = [liked[like] for like in dict.fromkeys(query.like)]
        try:
            return compose(self._encoder, one.pictures, items, query.text, weights)
        except ModelError as error:
            return RejectedQuery.because(one, Rejection.of(error), "not_encodable")

    def _objects(self, one: PreparedQuery, weights: PartWeights) -> list[AskedObject]:
        if one.query.objects == "off":
            return []
        # The encoder took the whole picture, so that it takes its parts.
        return ask_objects(self._encoder, one.pictures[0].picture, one.query.text, weights)

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


def _repairable(one: PreparedQuery) -> bool:
    query = one.query
    return query.repair and bool((query.text or "").strip()) and schema_of(query) == 2


def _with_words(one: PreparedQuery, words: str) -> PreparedQuery:
    if words == one.query.text:
        return one
    return replace(one, query=msgspec.structs.replace(one.query, text=words), repaired=True)


@dataclass(frozen=True)
class Batch:
    """What queries that are searched together share; times of `time.monotonic` in seconds."""

    began: float
    encoded: float
    retrieved: float
    found: Found


def _stages(one: PreparedQuery, batch: Batch, ranking: float, now: float) -> dict[str, float]:
    """Milliseconds of each stage; of those that a batch has in common, the batch's."""
    seconds = {
        "fetch": one.fetched - one.received,
        "wait": batch.began - one.fetched,
        "encode": batch.encoded - batch.began,
        "retrieve": batch.retrieved - batch.encoded,
        "rerank": now - ranking,
        "total": now - one.received,
    }
    return {stage: round(1000 * took, 3) for stage, took in seconds.items()}
