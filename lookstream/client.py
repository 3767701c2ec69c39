"""The client that a program uses: over Kafka or over HTTP, with the same answers."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from lookstream.http_transport import HttpTransport
from lookstream.kafka_transport import KafkaTransport
from lookstream.products import AsyncProducts, Products
from lookstream.transport import Transport
from stream import messages
from stream.codec import convert
from stream.data_uri import INLINE_BYTES, data_uri
from stream.errors import DecodeError, RequestTimeout
from stream.messages import Action, CatalogEvent, Click, Id, Result
from stream.request_reply import no_answer

Photo = str | Path


class Query(messages.Query, tag="query", frozen=True, kw_only=True):
    """A shopper's photo, words, or both; an id is made where none is given."""

    query_id: Id = msgspec.field(default_factory=lambda: uuid.uuid4().hex)


class Client:
    """Asks a running Lookstream and sends it events; a context manager, for several threads.

    Without an address it goes over Kafka, where the settings say, as for the workers:
    `LOOKSTREAM_PROFILE`, `LOOKSTREAM_KAFKA__BOOTSTRAP` and so on.

    Args:
        address: `http://HOST:PORT` of a web worker, or another Kafka, `HOST:PORT[,HOST:PORT…]`.
        kafka: another Kafka, by name.
        key: an API key, for HTTP.
        timeout_s: how long an answer may take.

    Attributes:
        products: sends products.
        timeout_s: as given.

    Raises:
        SettingsError: a setting is wrong.
        BrokerError: no Kafka answers there, or it has no topics of Lookstream.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        kafka: str | None = None,
        key: str | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        if address is not None and kafka is not None:
            raise DecodeError("give one address: that of a web worker, or that of a Kafka")
        over_http = address is not None and address.startswith(("http://", "https://"))
        self._transport: Transport = (
            HttpTransport(str(address), key, timeout_s)
            if over_http
            else KafkaTransport(address or kafka, timeout_s)
        )
        self.timeout_s = timeout_s
        self.products = Products(self._transport.send)

    def search(self, query: messages.Query | Photo | None = None, **fields: Any) -> Result:
        """Ask, and wait for the result.

            client.search("photo.jpg", filter="price:<50", top=3)
            client.search(text="oat milk")

        A photo that is a file here is sent whole, up to 11 MB. A result whose `error` is set is
        returned like any other.

        Raises:
            RequestTimeout: no answer came in time.
            BrokerError: Kafka, or the web worker, cannot be reached.
            DecodeError: a field is unknown or out of its bounds.
            AccessDenied: the server wants a key.
        """
        asked = query_of(query, fields)
        answer = self.submit(asked)
        try:
            return answer.result(self.timeout_s)
        except TimeoutError as error:
            answer.cancel()
            raise no_answer(asked.query_id, self.timeout_s) from error

    def submit(self, query: messages.Query) -> Future[Result]:
        """Ask, and return at once; the future gets the result, or an error as `search` raises."""
        if query.image is not None:
            query = msgspec.structs.replace(query, image=_sendable(query.image))
        if query.images:
            images = [
                msgspec.structs.replace(one, image=_sendable(one.image)) for one in query.images
            ]
            query = msgspec.structs.replace(query, images=tuple(images))
        return self._transport.submit(query)

    def send(self, *events: CatalogEvent | Click) -> list[str]:
        """Send catalog events and clicks; returns their ids when Kafka has them for good.

        Pictures are named by URL, or by a path that the ingest worker may read (`intake.roots`).
        Raises `BrokerError` for what Kafka did not confirm.
        """
        return self._transport.send(events)

    def click(self, result: Result, product_id: str) -> None:
        """Tell that a product of a result was clicked."""
        self.send(click_on(result, product_id, "click"))

    def basket(self, result: Result, product_id: str) -> None:
        """Tell that a product of a result was put into the basket."""
        self.send(click_on(result, product_id, "basket"))

    def purchase(self, result: Result, product_id: str) -> None:
        """Tell that a product of a result was bought."""
        self.send(click_on(result, product_id, "purchase"))

    def wait_until_searchable(
        self, event_ids: str | Iterable[str], timeout_s: float = 30.0
    ) -> None:
        """Return when these events have been applied, or superseded by newer ones.

        Raises:
            RequestTimeout: one was not within `timeout_s` seconds.
            DecodeError: one was refused; the text says why.
        """
        deadline = time.monotonic() + timeout_s
        for event_id in [event_ids] if isinstance(event_ids, str) else event_ids:
            end = self._transport.end_of(event_id, max(0.001, deadline - time.monotonic()))
            if end is None:
                raise RequestTimeout(
                    f"event {event_id} was not applied within {timeout_s:g} s: is an ingest "
                    "worker running?"
                )
            if end.state == "refused":
                raise DecodeError(end.reason)

    def close(self) -> None:
        """End what was opened."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient:
    """The same for an event loop; an async context manager.

    Args:
        address, options: as of `Client`.

    Attributes:
        products: sends products.
    """

    def __init__(self, address: str | None = None, **options: Any) -> None:
        self.products = AsyncProducts(lambda: self._opened.products)
        self._open = lambda: Client(address, **options)
        self._client: Client | None = None

    async def search(self, query: messages.Query | Photo | None = None, **fields: Any) -> Result:
        """As `Client.search`."""
        client = self._opened
        asked = query_of(query, fields)
        answer = await asyncio.to_thread(client.submit, asked)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), client.timeout_s)
        except TimeoutError:
            raise no_answer(asked.query_id, client.timeout_s) from None

    async def send(self, *events: CatalogEvent | Click) -> list[str]:
        """As `Client.send`."""
        return await asyncio.to_thread(self._opened.send, *events)

    async def click(self, result: Result, product_id: str) -> None:
        """As `Client.click`."""
        await self.send(click_on(result, product_id, "click"))

    async def basket(self, result: Result, product_id: str) -> None:
        """As `Client.basket`."""
        await self.send(click_on(result, product_id, "basket"))

    async def purchase(self, result: Result, product_id: str) -> None:
        """As `Client.purchase`."""
        await self.send(click_on(result, product_id, "purchase"))

    async def wait_until_searchable(
        self, event_ids: str | Iterable[str], timeout_s: float = 30.0
    ) -> None:
        """As `Client.wait_until_searchable`."""
        await asyncio.to_thread(self._opened.wait_until_searchable, event_ids, timeout_s)

    async def __aenter__(self) -> Self:
        self._client = await asyncio.to_thread(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        client, self._client = self._opened, None
        await asyncio.to_thread(client.close)

    @property
    def _opened(self) -> Client:
        if self._client is None:
            raise RuntimeError("open the client first: `async with AsyncClient() as client:`")
        return self._client


def query_of(query: messages.Query | Photo | None, fields: dict[str, Any]) -> messages.Query:
    """The query that a photo and fields make; raises `DecodeError`."""
    if isinstance(query, messages.Query):
        if fields:
            raise DecodeError(f"the query has its fields already: leave {', '.join(fields)} out")
        return query
    given: dict[str, Any] = {"schema": 2, **fields, "type": "query"}
    if query is not None:
        given["image"] = str(query)
    asked: Query = convert(given, Query)
    return asked


def click_on(result: Result, product_id: str, action: Action) -> Click:
    """What was done with a product of a result, with an id of its own."""
    return Click(
        click_id=uuid.uuid4().hex, query_id=result.query_id, product_id=product_id, action=action
    )


def _sendable(reference: str) -> str:
    """An image reference that means the same elsewhere: a file as its content, if that fits."""
    if reference[:5].lower() == "data:" or "://" in reference:
        return reference
    path = Path(reference)
    if not path.is_file():
        return reference
    return data_uri(path) if path.stat().st_size <= INLINE_BYTES else str(path.resolve())
