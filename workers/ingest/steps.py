"""The ingest worker: catalog events become rows that a photo can find.

Faust brings records. Fetching their pictures begins at once (`workers.ingest.event_fetcher`);
those that are there go as a batch through the two steps of `stream.delivery`. *Prepare* reads the
products as they are stored, and juices and embeds what the index does not have already. *Write*
folds the batch into those products and writes what changed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import structlog
from msgspec import UNSET

from index.errors import MilvusUnavailable, RowRejected
from index.item import tombstone
from index.milvus.schema import check_item
from models.embedding.protocol import CatalogEncoder
from models.errors import ModelError
from stream.delivery import Coerced, Outcome, Partial, Rejection, State
from stream.errors import Permanent, Transient
from stream.messages import CatalogEvent, OfferPatch, ProductUpsert
from stream.parking import Begun
from stream.records import Record
from workers.catalog_index import CatalogIndex
from workers.config.sections import IngestSettings
from workers.deploy.telemetry import CLOCKS_DIFFER, timed
from workers.errors import DecoderError
from workers.evidence.predicted_attributes import AttributePredictorFile
from workers.evidence.sample import PictureSample
from workers.ingest.event_clock import event_clock
from workers.ingest.event_fetcher import EventFetcher, Fetching, Products
from workers.ingest.items import (
    NO_PICTURE,
    FetchedProduct,
    encode_products,
    picture_digest,
    picture_digests,
)
from workers.ingest.kept_values import Read, fill_kept
from workers.ingest.last_write_wins import (
    OFFER,
    Applied,
    Change,
    Product,
    UnknownProduct,
    apply_change,
    item_id,
    same_row,
)
from workers.ingest.read_event import CoercionReport, EventReader, Nothing, ReadEvent
from workers.intake.fetch import Fetcher

log = structlog.get_logger()

Thumbnails = Mapping[str, bytes]
"""JPEG by the digest of the picture."""


class Ingest:
    """The two steps of delivery for catalog events; nobody else writes their products."""

    def __init__(
        self,
        fetcher: Fetcher,
        encoder: CatalogEncoder,
        index: CatalogIndex,
        settings: IngestSettings | None = None,
        now_s: Callable[[], float] = time.time,
        sample: PictureSample | None = None,
        reader: EventReader | None = None,
        own: AttributePredictorFile | None = None,
    ) -> None:
        self._sample = sample
        self._own = own
        self._coercions = CoercionReport()
        self._encoder = encoder
        self._index = index
        self._events = EventFetcher(
            fetcher, encoder, self._read, settings or IngestSettings(), now_s, reader
        )
        # Products of the batch under way as prepare read them. Each is taken out when it is to be
        # written: whatever fails after that, the next try reads it again.
        self._stored: dict[str, Product] = {}
        self._openings = 0

    def begin(self, records: Sequence[Record]) -> list[Begun]:
        """Begin to fetch the pictures of records that are to be delivered later."""
        return self._events.begin(records)

    def drop(self, records: Sequence[Record]) -> None:
        """These have ended, or are not to be delivered any more."""
        self._events.drop(records)

    async def prepare(self, records: Sequence[Record]) -> list[Change | State | Rejection]:
        """One change per record, ready to be written, or a rejection; a state for one of no
        product.

        What was begun for a record is waited for; for others it is done here.
        """
        ahead = [self._events.ahead(record) for record in records]
        reads = [
            begun.read if begun else self._events.read(record)
            for record, begun in zip(records, ahead, strict=True)
        ]
        with timed("ingest", "read"), _delivery_errors():
            stored = await self._stored_products(reads, ahead)
        no_picture = picture_digest(NO_PICTURE, self._encoder.model_id)
        reads = fill_kept(records, reads, stored, no_picture)
        events = [one.event if isinstance(one, ReadEvent) else one for one in reads]
        with timed("ingest", "fetch"), _delivery_errors():
            fetched = await asyncio.gather(
                *(
                    begun.task if begun else self._fetch(event, stored)
                    for event, begun in zip(events, ahead, strict=True)
                )
            )
        with timed("ingest", "encode"), _delivery_errors():
            products = [one for one in fetched if isinstance(one, FetchedProduct)]
            encoded = iter(await asyncio.to_thread(self._encode, products))
        changes: list[Change | State | Rejection] = []
        for record, one in zip(records, fetched, strict=True):
            change = (
                self._change(record, one, *next(encoded))
                if isinstance(one, FetchedProduct)
                else self._change(record, one)
            )
            if isinstance(change, Change):
                change = _check_storable(change)
            if isinstance(change, Change):
                self._stored[change.event.product_id] = stored[change.event.product_id]
            changes.append(change)
        for read, one in zip(reads, fetched, strict=True):
            if isinstance(read, ReadEvent):
                of_pictures = one.coercions if isinstance(one, FetchedProduct) else ()
                self._coercions.note(read.event.product_id, (*read.coercions, *of_pictures))
        return changes

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Fold the changes, in order, into the stored products, and write what is new."""
        with timed("ingest", "write"), _delivery_errors():
            outcomes = await asyncio.to_thread(self._write, changes)
        if self._openings != self._index.openings:
            self._openings = self._index.openings
            self._events.read_again()
        return outcomes

    def _change(
        self,
        record: Record,
        one: CatalogEvent | FetchedProduct | Nothing | Rejection,
        content: Product = (),
        thumbnails: Thumbnails | None = None,
    ) -> Change | State | Rejection:
        """What is to be written for a record; `content` are the items of an upsert."""
        if isinstance(one, Nothing):
            return State.SUPERSEDED  # the index holds all that it says
        if isinstance(one, Rejection):
            return one
        if not isinstance(one, FetchedProduct):
            return Change(one, event_clock(one, record), self._encoder.dim)
        event: CatalogEvent = one.event
        if one.missing and not content:
            # Neither words nor a picture: of this event only the offer can be applied.
            offer = _offer_alone(one.event)
            if offer is None:
                return one.missing.rejection()
            event = offer
        clock = event_clock(one.event, record)
        return Change(
            event,
            clock,
            self._encoder.dim,
            content,
            one.missing,
            one.coercions,
            thumbnails or {},
        )

    def _encode(self, products: Sequence[FetchedProduct]) -> list[tuple[Product, Thumbnails]]:
        """The items of each product, and thumbnails of the pictures that the sample wants."""
        own = self._own.read() if self._own else None
        encoded = encode_products(products, self._encoder, own)
        return [
            (items, self._sample.thumbnails(one.event.product_id, one.pictures))
            if self._sample
            else (items, {})
            for one, items in zip(products, encoded, strict=True)
        ]

    async def _stored_products(
        self, reads: Sequence[Read], ahead: Sequence[Fetching | None]
    ) -> Products:
        """The products of the events as they are stored; () for one that the index has not seen."""
        stored: dict[str, Product] = {}
        for begun in ahead:
            if begun and begun.current:
                product_id = begun.event.product_id
                stored[product_id] = (await begun.reading)[product_id]
        ids = [one.event.product_id for one in reads if isinstance(one, ReadEvent)]
        missing = [product_id for product_id in ids if product_id not in stored]
        return stored | await asyncio.to_thread(self._read, missing)

    async def _fetch(
        self, event: CatalogEvent | Nothing | Rejection, stored: Products
    ) -> CatalogEvent | FetchedProduct | Nothing | Rejection:
        """The event; an upsert with its pictures."""
        if not isinstance(event, ProductUpsert):
            return event
        return await self._events.fetch(event, stored[event.product_id])

    def _read(self, product_ids: Sequence[str]) -> dict[str, Product]:
        """These products as they are stored; () for one that the index does not know."""
        products: dict[str, Product] = dict.fromkeys(product_ids, ())
        for item in self._index.stored(list(products)):
            products[item.product_id] += (item,)
        return products

    def _write(self, changes: Sequence[Change]) -> list[Outcome]:
        with self._index.writing():
            if self._openings != self._index.openings:  # they were read in another generation
                self._stored.clear()
            return self._fold(changes)

    def _fold(self, changes: Sequence[Change]) -> list[Outcome]:
        product_ids = dict.fromkeys(change.event.product_id for change in changes)
        before = {one: self._stored.pop(one) for one in product_ids if one in self._stored}
        before |= self._read([one for one in product_ids if one not in before])
        after = dict(before)
        outcomes: list[Outcome] = []
        differ: list[tuple[Change, Applied]] = []
        for change in changes:
            product_id = change.event.product_id
            try:
                applied = apply_change(after[product_id], change)
                after[product_id] = applied.product
                outcomes.append(_with_coercions(change, _outcome(change, applied)))
                if applied.clocks_differ:
                    differ.append((change, applied))
            except UnknownProduct as error:
                outcomes.append(
                    change.missing.rejection() if change.missing else Rejection.of(error)
                )
        old = {item.item_id: item for product in before.values() for item in product}
        new = {item.item_id: item for product in after.values() for item in product}
        changed = [
            i for i in new.values() if i.item_id not in old or not same_row(i, old[i.item_id])
        ]
        self._index.write(changed, gone=[item for key, item in old.items() if key not in new])
        self._update_sample(changes, before, after)
        for change, applied in differ:
            _report_clocks(change, applied)
        return outcomes

    def _update_sample(self, changes: Sequence[Change], before: Products, after: Products) -> None:
        """Tell the sample of pictures which ones its products have now."""
        if self._sample is None:
            return
        thumbnails: dict[str, dict[str, bytes]] = {}
        for change in changes:
            if change.thumbnails:
                thumbnails.setdefault(change.event.product_id, {}).update(change.thumbnails)
        shown = {product_id: picture_digests(product) for product_id, product in after.items()}
        changed = {
            product_id: now
            for product_id, now in shown.items()
            if product_id in thumbnails or now != picture_digests(before[product_id])
        }
        if changed:
            self._sample.update(changed, thumbnails)


def _offer_alone(event: ProductUpsert) -> OfferPatch | None:
    """The offer in an upsert, as a patch; None if there is none."""
    offer = {name: value for name in OFFER if (value := getattr(event, name)) is not UNSET}
    if not offer:
        return None
    return OfferPatch(
        product_id=event.product_id, version=event.version, event_time=event.event_time, **offer
    )


def _outcome(change: Change, applied: Applied) -> State | Partial | Rejection:
    """How an event ended; one that lacks pictures with a letter, unless a newer one has won."""
    if change.missing is None:
        return applied.state
    if not change.content:  # its pictures and words could not be applied at all
        partial = applied.state is State.APPLIED
        return Partial(change.missing.partial()) if partial else change.missing.rejection()
    stands = [(item.item_id, item.digest) for item in applied.product] == [
        (item.item_id, item.digest) for item in change.content
    ]
    return Partial(change.missing.partial()) if stands else applied.state


def _with_coercions(change: Change, outcome: State | Partial | Rejection) -> Outcome:
    """The outcome, with what was coerced in pictures: only the worker has seen them."""
    if not change.coerced or isinstance(outcome, Rejection):
        return outcome
    return Coerced(outcome, tuple(kind.value for kind in change.coerced))


def _report_clocks(change: Change, applied: Applied) -> None:
    """Count and log that a change was superseded, in whole or part, because the clocks differ."""
    CLOCKS_DIFFER.labels("ingest").inc()
    log.warning(
        "superseded because the clocks differ: give all events of a product versions, or none",
        product_id=change.event.product_id,
        late=asdict(change.clock),
        stored={group: asdict(clock) for group, clock in applied.clocks_differ.items()},
    )


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
