"""The client that a program uses: addresses come from the settings, local pictures travel along."""

from __future__ import annotations

import uuid
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import msgspec

from stream import messages, request_reply
from stream.codec import encode
from stream.connection import check_broker
from stream.data_uri import INLINE_BYTES, data_uri
from stream.messages import CatalogEvent, Click, Id, Result
from stream.publisher import Publisher
from workers.config.settings import load_settings
from workers.config.wiring import kafka_of, topics_of


class Query(messages.Query, tag="query", frozen=True, kw_only=True):
    """A shopper's photo, words, or both; an id is made where none is given."""

    query_id: Id = msgspec.field(default_factory=lambda: uuid.uuid4().hex)


class Client(request_reply.Client):
    """Asks a running Lookstream and sends it events; a context manager, for several threads.

    Where Kafka is, its credentials and the prefix of the topics come from the settings, as for the
    workers: `LOOKSTREAM_PROFILE`, and `LOOKSTREAM_KAFKA__BOOTSTRAP` and so on. `kafka` is another
    address, `host:port[,host:port…]`. `timeout_s`: how long an answer may take.

    Raises:
        SettingsError: a setting is wrong.
        BrokerError: no Kafka answers there, or it has no topics of Lookstream.
    """

    def __init__(self, kafka: str | None = None, *, timeout_s: float = 10.0) -> None:
        settings = load_settings()
        address = kafka_of(settings)
        if kafka is not None:
            address = replace(address, bootstrap=kafka)
        check_broker(address, timeout_s)
        super().__init__(address, topics_of(settings), timeout_s)

    def submit(self, query: messages.Query) -> Future[Result]:
        """Send the query and return at once; the future gets its result, or a `BrokerError`.

        A picture that is a file here is sent whole, up to 11 MB: the worker cannot read it.
        """
        if query.image is not None:
            query = msgspec.structs.replace(query, image=_sendable(query.image))
        if query.images:
            images = [
                msgspec.structs.replace(one, image=_sendable(one.image)) for one in query.images
            ]
            query = msgspec.structs.replace(query, images=tuple(images))
        return super().submit(query)

    def send(self, *events: CatalogEvent | Click) -> None:
        """Send catalog events and clicks; returns when Kafka has them for good.

        Pictures are named by URL, or by a path that the ingest worker may read (`intake.roots`).
        Raises `BrokerError` for what Kafka did not confirm.
        """
        with Publisher(self._kafka) as publisher:
            for event in events:
                if isinstance(event, Click):
                    publisher.publish(self._topics.click.name, event.query_id, encode(event))
                else:
                    publisher.publish(self._topics.catalog.name, event.product_id, encode(event))


def _sendable(reference: str) -> str:
    """An image reference that means the same elsewhere: a file as its content, if that fits."""
    if reference[:5].lower() == "data:" or "://" in reference:
        return reference
    path = Path(reference)
    if not path.is_file():
        return reference
    return data_uri(path) if path.stat().st_size <= INLINE_BYTES else str(path.resolve())
