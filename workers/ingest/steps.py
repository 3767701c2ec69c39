"""The ingest worker: catalog events become rows that a photo can find.

Faust brings batches of records; `stream.delivery` takes them through the two steps here. *Prepare*
decodes each event, reads the products as they are stored, fetches the pictures that changed, and
juices and embeds what the index does not have already. *Write* folds the batch into those products
and writes what changed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import structlog

from index.errors import MilvusUnavailable, RowRejected
from index.item import tombstone
from index.milvus.schema import check_item
from models.embedding.protocol import CatalogEncoder
from models.errors import ModelError
from stream.delivery import Rejection, State
from stream.errors import DecodeError, Permanent, Transient
from stream.messages import CatalogEvent, OfferPatch, ProductUpsert
from stream.records import Record
from workers.catalog_index import CatalogIndex
from workers.config.sections import IngestSettings
from workers.deploy.telemetry import CLOCKS_DIFFER, timed
from workers.errors import DecoderError, IntakeError
from workers.ingest.event_clock import check_time, event_clock
from workers.ingest.items import (
    FetchedPicture,
    FetchedProduct,
    StoredPictures,
    encode_products,
    fetched_product,
    picture_digest,
    picture_references,
)
from workers.ingest.last_write_wins import (
    Applied,
    Change,
    Product,
    UnknownProduct,
    apply_change,
    item_id,
    same_row,
)
from workers.ingest.read_event import CoercionReport, ReadEvent, read_event
from workers.intake.fetch import Fetcher

log = structlog.get_logger()


class Ingest:
    """The two steps of delivery for catalog events; nobody else writes their products."""

    def __init__(
        self,
        fetcher: Fetcher,
        encoder: CatalogEncoder,
        index: CatalogIndex,
        settings: IngestSettings | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings or IngestSettings()
        self._now_s = now_s
        self._coercions = CoercionReport()
        self._fetcher = fetcher
        self._encoder = encoder
        self._index = index
        # Products of the batch under way as prepare read them. Each is taken out when it is to be
        # written: whatever fails after that, the next try reads it again.
        self._stored: dict[str, Product] = {}

    async def prepare(self, records: Sequence[Record]) -> list[Change | Rejection]:
        """One change per record, ready to be written, or a rejection."""
        reads = [self._decode(record) for record in records]
        decoded = [one.event if isinstance(one, ReadEvent) else one for one in reads]
        with timed("ingest", "read"), _delivery_errors():
            product_ids = [one.product_id for one in decoded if not isinstance(one, Rejection)]
            stored = await asyncio.to_thread(self._read, product_ids)
        with timed("ingest", "fetch"), _delivery_errors():
            events = await asyncio.gather(
                *(
                    self._fetch(event, stored[event.product_id])
                    if isinstance(event, ProductUpsert)
                    else _as_it_is(event)
                    for event in decoded
                )
            )
        with timed("ingest", "encode"), _delivery_errors():
            fetched = [event for event in events if isinstance(event, FetchedProduct)]
            products = iter(await asyncio.to_thread(self._encode, fetched, stored))
        changes: list[Change | Rejection] = []
        for record, event in zip(records, events, strict=True):
            if isinstance(event, Rejection):
                changes.append(event)
                continue
            plain, content = (
                (event.event, next(products)) if isinstance(event, FetchedProduct) else (event, ())
            )
            clock = event_clock(plain, record)
            change = _check_storable(Change(plain, clock, self._encoder.dim, content))
            if isinstance(change, Change):
                self._stored[plain.product_id] = stored[plain.product_id]
            changes.append(change)
        for read in reads:
            if isinstance(read, ReadEvent):
                self._coercions.note(read.event.product_id, read.coercions)
        return changes

    async def write(self, changes: Sequence[Change]) -> list[State | Rejection]:
        """Fold the changes, in order, into the stored products, and write what is new."""
        with timed("ingest", "write"), _delivery_errors():
            return await asyncio.to_thread(self._write, changes)

    def _decode(self, record: Record) -> ReadEvent | Rejection:
        try:
            read = read_event(record, strict=self._settings.strict)
            check_time(
                event_clock(read.event, record),
                now_ms=round(1000 * self._now_s()),
                max_future_ms=round(1000 * self._settings.max_future_s),
            )
        except DecodeError as error:
            return Rejection.of(error)
        return read

    async def _fetch(self, event: ProductUpsert, product: Product) -> FetchedProduct | Rejection:
        """The event with all its pictures, or the rejection of the first that is not to be had."""
        stored = StoredPictures.of(product, event, self._encoder)
        references = picture_references(event)
        pictures = await asyncio.gather(
            *(self._picture(reference, stored) for reference in references), return_exceptions=True
        )
        for picture in pictures:
            if isinstance(picture, IntakeError):
                return Rejection.of(picture)
            if isinstance(picture, BaseException):
                raise picture
        there = [picture for picture in pictures if isinstance(picture, FetchedPicture)]
        return fetched_product(event, there, self._encoder.model_id)

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
        pixels = await self._fetcher.decode(download.data)
        return FetchedPicture(digest, pixels, download.validators)

    def _read(self, product_ids: Sequence[str]) -> dict[str, Product]:
        """These products as they are stored; () for one that the index does not know."""
        products: dict[str, Product] = dict.fromkeys(product_ids, ())
        for item in self._index.stored(list(products)):
            products[item.product_id] += (item,)
        return products

    def _encode(
        self, fetched: Sequence[FetchedProduct], stored: Mapping[str, Product]
    ) -> list[Product]:
        known = {
            item.digest: item
            for one in fetched
            for item in stored[one.event.product_id]
            if not item.is_tombstone
        }
        return encode_products(fetched, self._encoder, known)

    def _write(self, changes: Sequence[Change]) -> list[State | Rejection]:
        product_ids = dict.fromkeys(change.event.product_id for change in changes)
        before = {one: self._stored.pop(one) for one in product_ids if one in self._stored}
        before |= self._read([one for one in product_ids if one not in before])
        after = dict(before)
        outcomes: list[State | Rejection] = []
        differ: list[tuple[Change, Applied]] = []
        for change in changes:
            product_id = change.event.product_id
            try:
                applied = apply_change(after[product_id], change)
                after[product_id] = applied.product
                outcomes.append(applied.state)
                if applied.clocks_differ:
                    differ.append((change, applied))
            except UnknownProduct as error:
                outcomes.append(Rejection.of(error))
        old = {item.item_id: item for product in before.values() for item in product}
        new = {item.item_id: item for product in after.values() for item in product}
        changed = [
            i for i in new.values() if i.item_id not in old or not same_row(i, old[i.item_id])
        ]
        self._index.write(changed, gone=[item for key, item in old.items() if key not in new])
        for change, applied in differ:
            _report_clocks(change, applied)
        return outcomes


def _report_clocks(change: Change, applied: Applied) -> None:
    """Count and log that a change was superseded, in whole or part, because the clocks differ."""
    CLOCKS_DIFFER.labels("ingest").inc()
    log.warning(
        "superseded because the clocks differ: give all events of a product versions, or none",
        product_id=change.event.product_id,
        late=asdict(change.clock),
        stored={group: asdict(clock) for group, clock in applied.clocks_differ.items()},
    )


async def _as_it_is(event: CatalogEvent | Rejection) -> CatalogEvent | Rejection:
    return event


def _check_storable(change: Change) -> Change | Rejection:
    """The change, or a rejection if the index could never store it.

    Checked for the change alone, because later changes of its batch may overwrite it: whether an
    event is rejected must not depend on its neighbours.
    """
    event, dim = change.event, change.dim
    unknown: Product = ()
    if isinstance(event, OfferPatch):  # patches need a product that was there once
        unknown = (tombstone(item_id(event.product_id, 0), event.product_id, dim, {}),)
    try:
        for item in apply_change(unknown, change).product:
            # Made of a stored item, it has that one's prototype until it gets its own.
            check_item(item, dim, prototypes=max(0, item.prototype) + 1)
    except RowRejected as error:
        return Rejection.of(error)
    return change


@contextmanager
def _delivery_errors() -> Iterator[None]:
    """Errors of the index and the models as those of delivery: retry, or dead-letter."""
    try:
        yield
    except (MilvusUnavailable, DecoderError) as error:
        raise Transient(str(error)) from error
    except (RowRejected, ModelError) as error:
        raise Permanent(str(error)) from error
