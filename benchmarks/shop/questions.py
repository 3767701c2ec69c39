"""Shoppers who type: text queries at a constant rate, whatever the answers take (open loop)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Protocol

import numpy as np

from stream.messages import Query, Result


class Asks(Protocol):
    """What sends a query: `stream.request_reply.Client`."""

    def submit(self, query: Query) -> Future[Result]:
        """Send it; the future gets the result."""


class Questions:
    """Asks each text once, `every_s` seconds apart; `ask` is to be called more often than that.

    The seconds an answer takes count from the moment when it was to be asked, so that a pause in
    which nothing could be asked is not left out.
    """

    def __init__(
        self,
        client: Asks,
        texts: Sequence[str],
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._client = client
        self._texts = texts
        self._every_s = every_s
        self._began: float | None = None
        self._answers: list[Future[Result]] = []
        self._seconds: list[float] = []

    def ask(self) -> None:
        """Ask what is due."""
        now = self._clock()
        if self._began is None:
            self._began = now
        while (number := len(self._answers)) < len(self._texts):
            due = self._began + number * self._every_s
            if due > now:
                return
            answer = self._client.submit(
                Query(query_id=f"firstday-{number}", text=self._texts[number])
            )
            answer.add_done_callback(partial(self._note, due))
            self._answers.append(answer)

    def _note(self, due: float, answer: Future[Result]) -> None:
        if not answer.cancelled() and answer.exception() is None and not answer.result().error:
            self._seconds.append(self._clock() - due)

    def figures(self, timeout_s: float) -> dict[str, float]:
        """Wait for the last answers: how many were asked and not answered, and how long it took."""
        deadline = self._clock() + timeout_s
        while not all(one.done() for one in self._answers) and self._clock() < deadline:
            time.sleep(0.02)
        asked, seconds = len(self._answers), self._seconds or [float("nan")]
        return {
            "queries": asked,
            "unanswered": asked - len(self._seconds),
            "p50_ms": round(1000 * float(np.quantile(seconds, 0.5)), 1),
            "p95_ms": round(1000 * float(np.quantile(seconds, 0.95)), 1),
        }
