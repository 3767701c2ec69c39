"""A client's way over Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property

from stream import request_reply
from stream.codec import encode
from stream.connection import check_broker
from stream.event_sender import EventSender, Place
from stream.messages import CatalogEvent, Click, Query, Result
from stream.outcome_follower import End, OutcomeFollower
from workers.config.settings import load_settings
from workers.config.wiring import kafka_of, topics_of


class KafkaTransport:
    """Asks over the query topic, and sends to the catalog and click topics.

    Where Kafka is, its credentials and the prefix of the topics come from the settings;
    `bootstrap` is another address.

    Raises:
        SettingsError: a setting is wrong.
        BrokerError: no Kafka answers there, or it has no topics of Lookstream.
    """

    def __init__(self, bootstrap: str | None, timeout_s: float) -> None:
        settings = load_settings()
        self._topics = topics_of(settings)
        self._kafka = kafka_of(settings)
        if bootstrap is not None:
            self._kafka = replace(self._kafka, bootstrap=bootstrap)
        self._timeout_s = timeout_s
        check_broker(self._kafka, timeout_s)
        self._client = request_reply.Client(self._kafka, self._topics, timeout_s)

    def submit(self, query: Query) -> Future[Result]:
        """Ask."""
        return self._client.submit(query)

    def send(self, events: Sequence[CatalogEvent | Click]) -> list[str]:
        """Send, and wait until Kafka has all of it."""
        if any(not isinstance(event, Click) for event in events):
            _ = self._outcomes  # it must read before the first event can end
        sent = [self._send(event) for event in events]
        places = [one.result(self._timeout_s + 1) for one in sent]
        return [
            "" if isinstance(event, Click) else place.event_id
            for event, place in zip(events, places, strict=True)
        ]

    def end_of(self, event_id: str, within_s: float) -> End | None:
        """How an event ended that this client sent."""
        place = Place.of_event(event_id, self._topics.catalog.name)
        ended = self._outcomes.wait(place)
        try:
            return ended.result(within_s)
        except TimeoutError:
            ended.cancel()
            return None

    def close(self) -> None:
        """Stop reading."""
        for name in ("_sender", "_outcomes"):
            if name in self.__dict__:
                self.__dict__[name].close()
        self._client.close()

    def _send(self, event: CatalogEvent | Click) -> Future[Place]:
        if isinstance(event, Click):
            return self._sender.send(self._topics.click.name, event.query_id, encode(event))
        return self._sender.send(self._topics.catalog.name, event.product_id, encode(event))

    @cached_property
    def _sender(self) -> EventSender:
        return EventSender(self._kafka, timeout_s=self._timeout_s)

    @cached_property
    def _outcomes(self) -> OutcomeFollower:
        return OutcomeFollower(self._kafka, self._topics)
