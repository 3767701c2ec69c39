"""Politeness to the hosts that pictures come from: how many requests at a time, and when again.

A host gets at most so many requests at a time. One that asks us to wait (429, or 503 with
Retry-After) gets no request before the time it names; one that does not answer several times in a
row is left alone for a while that doubles with each further failure. After that one request is
tried alone, and the others go when it was answered. A picture waits for its turn only as long as it
may. It fails at once when the host wants more time than that, or seems to be down: a dead host
delays nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Any

from workers.deploy.telemetry import HOST_REFUSALS, WAITING_PICTURES
from workers.errors import FetchError

MAX_RETRY_AFTER_S = 300.0
"""No longer than this is waited, whatever a host asks for: its clock may be wrong by years."""
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 60.0
TOLERATED_FAILURES = 2
"""In a row; a picture that was lost now and then is no reason to leave a host alone."""
DOWN_AFTER = 4
"""Pauses in a row, the last one after a failure: then nothing waits for this host any more."""
MAX_GATES = 4096
"""Of hosts that refused us; the hosts' names come from events and queries."""

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[Any]]


Answered = Callable[[], None]


class HostFailed(Exception):
    """A request failed in a way that may pass: raise it within a turn."""


class HostThrottled(HostFailed):
    """The host asks us to come back later: in `after_s` seconds, where it says so."""

    def __init__(self, message: str, after_s: float | None) -> None:
        super().__init__(message)
        self.after_s = after_s


class HostGate:
    """One host's turns; `limit` at a time. `clock` is in seconds."""

    def __init__(
        self,
        name: str,
        limit: int,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._name = name
        self._slots = asyncio.Semaphore(limit)
        self._alone = asyncio.Lock()
        self._clock = clock
        self._sleep = sleep
        self._failures = 0  # in a row
        self._pauses = 0  # in a row, each twice as long
        self._pauses_ever = 0
        self._not_before = float("-inf")
        self._why = ""
        self._down = False
        self.users = 0

    @property
    def refusing(self) -> bool:
        """Whether the host has asked us to wait, or fails, and nothing was answered since."""
        return self._pauses > 0

    @asynccontextmanager
    async def turn(self, until: float) -> AsyncIterator[Answered]:
        """One request to the host inside, which calls what it gets when the host has answered.

        A failure after that is one of the picture, not of the host.

        Raises:
            FetchError: there is no turn before `until`.
        """
        answered = False

        def heard() -> None:
            nonlocal answered
            answered = True
            self._answered(seen)

        async with AsyncExitStack() as held:
            await self._wait_for_turn(until, held)
            seen = self._pauses_ever
            try:
                yield heard
            except HostThrottled as error:
                HOST_REFUSALS.labels("throttled").inc()
                self._pause(seen, error, error.after_s)
                raise
            except (HostFailed, TimeoutError) as error:
                HOST_REFUSALS.labels("failed").inc()
                if not answered:
                    self._failures += 1
                    if self._failures > TOLERATED_FAILURES:
                        self._pause(seen, error)
                raise

    async def _wait_for_turn(self, until: float, held: AsyncExitStack) -> None:
        self._check_worth_waiting(until)
        try:
            with WAITING_PICTURES.track_inprogress():
                async with asyncio.timeout(until - self._clock()):
                    await held.enter_async_context(self._slots)
                    if self.refusing:
                        alone = await held.enter_async_context(AsyncExitStack())
                        await alone.enter_async_context(self._alone)
                        while (left := self._not_before - self._clock()) > 0:
                            self._check_worth_waiting(until)
                            await self._sleep(left)
                        if not self.refusing:  # another was answered meanwhile
                            await alone.aclose()
        except TimeoutError as error:
            raise self._closed("is slow, or busy with other pictures") from error

    def _check_worth_waiting(self, until: float) -> None:
        left = self._not_before - self._clock()
        if left > 0 and (self._down or self._not_before > until):
            raise self._closed(f"gets no request for {left:.0f} s, because {self._why}")

    def _closed(self, why: str) -> FetchError:
        return FetchError(f"{self._name} {why}; redrive it later, or raise intake.patience_s")

    def _answered(self, seen: int) -> None:
        self._failures = 0
        if seen == self._pauses_ever:  # others may still be answered when a pause has begun
            self._pauses, self._down = 0, False
            self._not_before = float("-inf")

    def _pause(self, seen: int, error: Exception, after_s: float | None = None) -> None:
        """Let nobody in for a while; longer than the last time, if the request came after that.

        `seen` are the pauses there had been when it began.
        """
        now = self._clock()
        if seen == self._pauses_ever:
            self._pauses_ever += 1
            self._pauses += 1
        pause_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._pauses - 1))
        if after_s is not None:
            pause_s = max(pause_s if self._pauses > 1 else 0.0, min(after_s, MAX_RETRY_AFTER_S))
        self._not_before = max(self._not_before, now + pause_s)
        self._down = self._pauses >= DOWN_AFTER and not isinstance(error, HostThrottled)
        self._why = str(error) or "it did not answer in time"


class HostGates:
    """The gates of all hosts; `limit` says how many requests at a time one gets."""

    def __init__(
        self,
        limit: Callable[[str], int],
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._sleep = sleep
        self._gates: dict[str, HostGate] = {}

    @asynccontextmanager
    async def turn(self, host: str, until: float) -> AsyncIterator[Answered]:
        """A turn at the gate of this host."""
        gate = self._gates.get(host)
        if gate is None:
            gate = self._gates[host] = HostGate(host, self._limit(host), self._clock, self._sleep)
        gate.users += 1
        try:
            async with gate.turn(until) as heard:
                yield heard
        finally:
            gate.users -= 1
            self._forget_idle(host, gate)

    def _forget_idle(self, host: str, gate: HostGate) -> None:
        if not gate.users and not gate.refusing:
            self._gates.pop(host, None)
        if len(self._gates) > MAX_GATES:
            idle = (name for name, one in self._gates.items() if not one.users)
            if (oldest := next(idle, None)) is not None:
                del self._gates[oldest]


def retry_after_s(value: str, date: str, now: float) -> float | None:
    """The seconds that a Retry-After asks us to wait (RFC 9110 §10.2.3); None if it says nothing.

    A date counts from the response's own `date`, where it has one: the clocks may differ. `now`
    is in seconds since the epoch.
    """
    if value.isascii() and value.isdigit():
        return float(value[:20])
    then = _epoch_s(value)
    if then is None:
        return None
    sent = _epoch_s(date)
    return max(0.0, then - (now if sent is None else sent))


def _epoch_s(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
