"""From records to events with their pictures: read at once, fetched ahead of delivery.

Fetching begins when a record is taken, for all pictures of all records at the same time, and the
record is delivered when they are there (`stream.faust_consumer`). So a slow picture delays the
events of its own product only.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from models.embedding.protocol import CatalogEncoder
from stream.delivery import Rejection
from stream.errors import DecodeError
from stream.messages import ProductUpsert
from stream.parking import Begun
from stream.records import Record
from workers.config.sections import IngestSettings
from workers.errors import IntakeError, PictureRefused
from workers.ingest.event_clock import check_time, event_clock
from workers.ingest.items import (
    FetchedPicture,
    FetchedProduct,
    StoredPictures,
    fetched_product,
    picture_digest,
    picture_references,
)
from workers.ingest.last_write_wins import Product
from workers.ingest.read_event import EventReader, Nothing, ReadEvent
from workers.intake.fetch import Fetcher

T = TypeVar("T")
Products = Mapping[str, Product]
ReadProducts = Callable[[Sequence[str]], Products]


@dataclass(frozen=True)
class Fetching:
    """A product whose pictures are fetched ahead.

    `reading` brings the product as it was stored then. `current`: nothing that was taken before
    this record could still change it.
    """

    read: ReadEvent
    event: ProductUpsert
    task: asyncio.Task[FetchedProduct]
    reading: asyncio.Task[Products]
    current: bool

    @property
    def failed(self) -> bool:
        """Whether it is to be done again: the index or the decoders were not there."""
        done = self.task.done() and not self.task.cancelled()
        return done and self.task.exception() is not None


class EventFetcher:
    """Reads records and fetches pictures; `products` brings products as they are stored."""

    def __init__(
        self,
        fetcher: Fetcher,
        encoder: CatalogEncoder,
        products: ReadProducts,
        settings: IngestSettings,
        now_s: Callable[[], float] = time.time,
        reader: EventReader | None = None,
    ) -> None:
        self._reader = reader or EventReader(strict=settings.strict)
        self._fetcher = fetcher
        self._encoder = encoder
        self._stored = products
        self._settings = settings
        self._now_s = now_s
        self._ahead: dict[str, Fetching] = {}  # by the record's source
        self._ids: dict[str, str] = {}  # of the records begun: source, product id
        self._under_way: Counter[str] = Counter()  # records by product id

    def begin(self, records: Sequence[Record]) -> list[Begun]:
        """Begin to fetch the pictures of these; records of one product are to be kept in order."""
        reads = [self.read(record) for record in records]
        ids = [
            one.event.product_id for one in reads if isinstance(one, ReadEvent) and _can_begin(one)
        ]
        reading = _begun(asyncio.to_thread(self._stored, list(dict.fromkeys(ids)))) if ids else None
        begun = []
        for record, read in zip(records, reads, strict=True):
            if not isinstance(read, ReadEvent):
                begun.append(Begun(record.source))
                continue
            event = read.event
            task = None
            if reading and isinstance(event, ProductUpsert) and _can_begin(read):
                task = _begun(self._fetch_ahead(event, reading))
                current = not self._under_way[event.product_id]
                self._ahead[record.source] = Fetching(read, event, task, reading, current)
            self._under_way[event.product_id] += 1
            self._ids[record.source] = event.product_id
            begun.append(Begun(event.product_id, task))
        return begun

    def drop(self, records: Sequence[Record]) -> None:
        """These have ended, or are not wanted any more."""
        for record in records:
            if (ahead := self._ahead.pop(record.source, None)) is not None:
                ahead.task.cancel()
            if (product_id := self._ids.pop(record.source, None)) is not None:
                self._under_way[product_id] -= 1
                if not self._under_way[product_id]:
                    del self._under_way[product_id]

    def read_again(self) -> None:
        """What was read of products until now is of another generation of the index."""
        self._ahead = {key: replace(one, current=False) for key, one in self._ahead.items()}

    def ahead(self, record: Record) -> Fetching | None:
        """What was begun for a record, unless it failed."""
        ahead = self._ahead.get(record.source)
        return None if ahead is None or ahead.failed else ahead

    def read(self, record: Record) -> ReadEvent | Nothing | Rejection:
        """The event in a record, at a time that can be."""
        try:
            read = self._reader.read(record)
            if isinstance(read, Nothing):
                return read
            check_time(
                event_clock(read.event, record),
                now_ms=round(1000 * self._now_s()),
                max_future_ms=round(1000 * self._settings.max_future_s),
            )
        except DecodeError as error:
            return Rejection.of(error)
        return read

    async def fetch(self, event: ProductUpsert, product: Product) -> FetchedProduct:
        """The event with its pictures, or why some are missing.

        `product` is as it is stored: pictures that it has are not fetched again.
        """
        stored = StoredPictures.of(product, event, self._encoder)
        references = picture_references(event)
        outcomes = await asyncio.gather(
            *(self._picture(reference, stored) for reference in references), return_exceptions=True
        )
        pictures = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, IntakeError):
                raise outcome
            pictures.append(outcome)
        return fetched_product(event, pictures, self._encoder.model_id, stored)

    async def _fetch_ahead(
        self, event: ProductUpsert, reading: asyncio.Task[Products]
    ) -> FetchedProduct:
        products = await asyncio.shield(reading)  # others wait for it too
        return await self.fetch(event, products[event.product_id])

    async def _picture(self, reference: str, stored: StoredPictures) -> FetchedPicture:
        """The picture, decoded if no stored item can stand for it."""
        known = stored.validators(reference)
        download = await self._fetcher.fetch_changed(reference, known)
        if download.data is None:
            return stored.unchanged(reference, download.validators)
        model_id = self._encoder.model_id
        digest = await asyncio.to_thread(picture_digest, download.data, model_id)
        if digest in stored.by_digest:
            return FetchedPicture(digest, None, download.validators)
        decoded = await self._fetcher.decode(download.data)
        if decoded.truncated and self._settings.strict:
            raise PictureRefused(
                "the JPEG picture is truncated: its last bytes are missing (ingest.strict)"
            )
        return FetchedPicture(digest, decoded.picture, download.validators, decoded.truncated)


def _can_begin(read: ReadEvent) -> bool:
    """Whether it has pictures, and all that it needs is in its record."""
    event = read.event
    return isinstance(event, ProductUpsert) and bool(picture_references(event)) and not read.keeps


def _begun(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task whose error may stay unseen: it is done again when its record is delivered."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task
