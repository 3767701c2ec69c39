"""How a client reaches Lookstream: over Kafka or over HTTP, with the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from stream.messages import CatalogEvent, Click, Query, Result
from stream.outcome_follower import End


class Transport(Protocol):
    """What a client needs of either; used from several threads."""

    def submit(self, query: Query) -> Future[Result]:
        """Ask; the future gets the result, or a `StreamError`."""
        ...

    def send(self, events: Sequence[CatalogEvent | Click]) -> list[str]:
        """Send events; returns when Kafka has them for good, with the id of each catalog event.

        A click has the id "".
        """
        ...

    def end_of(self, event_id: str, within_s: float) -> End | None:
        """How a catalog event ended; None if it did not within so many seconds."""
        ...

    def close(self) -> None:
        """End what was opened."""
        ...
