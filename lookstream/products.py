"""Products of a client: put, changed, removed, and read from a folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream.codec import convert, decode
from stream.messages import CatalogEvent, OfferPatch, ProductDelete, ProductUpsert

if TYPE_CHECKING:
    from workers.jobs.produce import RefusedRow

Send = Callable[[Sequence[CatalogEvent]], list[str]]
BATCH = 500


@dataclass(frozen=True)
class Batch:
    """Products of a file that were sent, the ids of their events, and rows that were refused."""

    event_ids: tuple[str, ...]
    refused: tuple[RefusedRow, ...]


class Products:
    """Sends catalog events. Each method returns when Kafka has the event for good, with its id."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def upsert(self, product_id: str, **fields: Any) -> str:
        """The product as it is now: title, description, category, image, price and so on.

        Raises:
            DecodeError: a field is unknown or out of its bounds.
        """
        event: ProductUpsert = convert(
            {**fields, "product_id": product_id, "type": "upsert"}, ProductUpsert
        )
        return self._send([event])[0]

    def patch(self, product_id: str, **fields: Any) -> str:
        """Change price, currency, in_stock or attributes; raises as `upsert`."""
        event: OfferPatch = convert(
            {**fields, "product_id": product_id, "type": "patch"}, OfferPatch
        )
        return self._send([event])[0]

    def delete(self, product_id: str, version: int | None = None) -> str:
        """The product is gone."""
        return self._send([ProductDelete(product_id=product_id, version=version)])[0]

    def from_file(self, path: str | Path, batch: int = BATCH) -> Iterator[Batch]:
        """Send the products of a catalog folder, or of its products.jsonl, a batch at a time.

        Raises:
            CatalogError: there is no such file.
        """
        from models.catalog.folder import PRODUCTS  # a client that reads no folder needs no models
        from workers.jobs.catalog_source import folder_source
        from workers.jobs.produce import catalog_events

        folder = Path(path)
        if folder.name == PRODUCTS:
            folder = folder.parent
        refused: list[RefusedRow] = []
        events: list[CatalogEvent] = []
        for record in catalog_events(folder_source(folder), on_refused=refused.append):
            events.append(decode(record.value, CatalogEvent))
            if len(events) >= batch:
                yield self._batch(events, refused)
        if events or refused:
            yield self._batch(events, refused)

    def _batch(self, events: list[CatalogEvent], refused: list[RefusedRow]) -> Batch:
        done = Batch(tuple(self._send(events)), tuple(refused))
        events.clear()
        refused.clear()
        return done


class AsyncProducts:
    """The same for an event loop; `products` are those of the client, once it is open."""

    def __init__(self, products: Callable[[], Products]) -> None:
        self._products = products

    async def upsert(self, product_id: str, **fields: Any) -> str:
        """As `Products.upsert`."""
        return await asyncio.to_thread(self._products().upsert, product_id, **fields)

    async def patch(self, product_id: str, **fields: Any) -> str:
        """As `Products.patch`."""
        return await asyncio.to_thread(self._products().patch, product_id, **fields)

    async def delete(self, product_id: str, version: int | None = None) -> str:
        """As `Products.delete`."""
        return await asyncio.to_thread(self._products().delete, product_id, version)

    async def from_file(self, path: str | Path, batch: int = BATCH) -> AsyncIterator[Batch]:
        """As `Products.from_file`."""
        batches = self._products().from_file(path, batch)
        while (one := await asyncio.to_thread(next, batches, None)) is not None:
            yield one
