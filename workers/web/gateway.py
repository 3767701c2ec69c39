"""The topics as the web worker uses them: a query and its result, an event and how it ended."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from stream.codec import encode
from stream.connection import Kafka
from stream.event_sender import EventSender, Place
from stream.messages import CatalogEvent, Click, Query, Result
from stream.outcome_follower import End, OutcomeFollower
from stream.request_reply import Client, no_answer
from stream.topics import Topics


class Gateway:
    """Asks and sends over Kafka, from one event loop.

    Args:
        kafka, topics: where.
        timeout_s: how long an answer may take, and Kafka to confirm an event.

    Raises:
        BrokerError: on start, if Kafka does not answer or a topic is missing.
    """

    def __init__(self, kafka: Kafka, topics: Topics, timeout_s: float) -> None:
        self.topics = topics
        self._timeout_s = timeout_s
        self._client = Client(kafka, topics, timeout_s)
        self._outcomes = OutcomeFollower(kafka, topics)
        self._sender = EventSender(kafka, timeout_s=timeout_s)

    async def search(self, query: Query) -> Result:
        """Ask a query; raises `RequestTimeout`, `BrokerError` or `DecodeError`."""
        answer = asyncio.wrap_future(self._client.submit(query))
        try:
            return await asyncio.wait_for(answer, self._timeout_s)
        except TimeoutError:
            raise no_answer(query.query_id, self._timeout_s) from None

    async def send(self, event: CatalogEvent) -> Place:
        """Send a catalog event; returns when Kafka has it for good, or raises `BrokerError`."""
        sent = self._sender.send(self.topics.catalog.name, event.product_id, encode(event))
        return await asyncio.wrap_future(sent)

    async def send_click(self, click: Click) -> None:
        """Send a click; as `send`."""
        sent = self._sender.send(self.topics.click.name, click.query_id, encode(click))
        await asyncio.wrap_future(sent)

    def follow(self, place: Place) -> Future[End]:
        """How an event ends, when it does."""
        return self._outcomes.wait(place)

    async def end_of(self, place: Place, within_s: float) -> End | None:
        """How an event ended; None if it did not within so many seconds."""
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self.follow(place)), within_s)
        except TimeoutError:
            return None

    def close(self) -> None:
        """Wait for what is being sent, and stop."""
        self._sender.close()
        self._outcomes.close()
        self._client.close()
