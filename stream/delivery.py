"""Delivery: every record ends applied, superseded, or dead-lettered; never dropped.

What a record can only bring in part is applied, and a dead letter says what is missing: redriving
it brings the rest.

A batch is taken un-acked and goes through two steps, *prepare* (decode, fetch, embed) and *write*
(one call to the store). What a step does decides:

    returns a Rejection for a record  dead-letter that record
    *prepare* returns a State for one  it has ended so, and there is nothing to write
    raises Transient                  try the step again, without limit: this is the backpressure
    raises Permanent                  bisect until the poison record is alone, then dead-letter it
    raises anything else              not caught: the process exits un-acked and is restarted

Both steps may run again on records they have already seen (a retry, a bisection, a restart), so
they must be idempotent. The order of records is kept, and offsets are acked in that order, only
when the whole batch is durable.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, NoReturn, Self, TypeVar

import tenacity

from stream.errors import Permanent, StreamError, Transient
from stream.records import Record

__all__ = [
    "EXIT_UNACKED",
    "BatchResult",
    "Coerced",
    "Delivery",
    "Ended",
    "Partial",
    "Record",
    "Rejection",
    "Retry",
    "State",
    "exit_unacked",
]

log = logging.getLogger(__name__)

T = TypeVar("T")
In = TypeVar("In")
Out = TypeVar("Out")

# Exit status after an unexpected error: the batch is not acked, and the worker is to be restarted.
EXIT_UNACKED = 70


class State(Enum):
    """How a record that was not rejected ended."""

    APPLIED = "applied"  # the store now holds it
    SUPERSEDED = "superseded"  # the store already held something newer, or the same


@dataclass(frozen=True)
class Rejection:
    """Why a record can never be applied: a sentence, and the class of the error."""

    reason: str
    error_class: str

    @classmethod
    def of(cls, error: Exception) -> Self:
        """The rejection that `error` stands for."""
        return cls(str(error) or type(error).__name__, type(error).__name__)


@dataclass(frozen=True)
class Ended:
    """How one record ended, by its address; `timestamp_ms` is when it was produced."""

    topic: str
    partition: int
    offset: int
    end: State | Rejection
    coerced: tuple[str, ...] = ()
    timestamp_ms: int = 0


@dataclass(frozen=True)
class Partial:
    """How a record ended of which a part could not be had: applied, and why there is a letter."""

    missing: Rejection


@dataclass(frozen=True)
class Coerced:
    """How a record ended of which something was coerced that its producer cannot see, by kind."""

    end: State | Partial
    kinds: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """How many records of a batch ended how; results of several batches can be added.

    `ended` says it for each record, in the order of the batch. `partial` of the applied ones have
    a dead letter that says what is missing.
    """

    applied: int = 0
    superseded: int = 0
    dead_lettered: int = 0
    ended: tuple[Ended, ...] = field(default=(), compare=False, repr=False)
    partial: int = 0

    @property
    def total(self) -> int:
        """The size of the batch."""
        return self.applied + self.superseded + self.dead_lettered

    def __add__(self, other: "BatchResult") -> "BatchResult":
        return BatchResult(
            applied=self.applied + other.applied,
            superseded=self.superseded + other.superseded,
            dead_lettered=self.dead_lettered + other.dead_lettered,
            ended=self.ended + other.ended,
            partial=self.partial + other.partial,
        )


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How long to wait between tries: random in [0, first_s · 2ⁿ], at most `max_s` seconds.

    The randomness (full jitter) keeps workers from retrying all at once.
    """

    first_s: float = 0.1
    max_s: float = 10.0


Outcome = State | Partial | Coerced | Rejection
Prepare = Callable[[Sequence[Record]], Awaitable[Sequence[T | State | Rejection]]]
Write = Callable[[Sequence[T]], Awaitable[Sequence[Outcome]]]
DeadLetter = Callable[[Record, Rejection, int], Awaitable[None]]


class Delivery(Generic[T]):
    """Takes batches of records through `prepare` and `write`.

    Both return one outcome per input, in order. `dead_letter(record, rejection, attempts)`
    returns when the letter is durable; it too is retried without limit on `Transient`.

    `busy` is true while a batch is being delivered; `delivered` counts the records that have ended.
    `parked` is for whoever takes the records: how many wait before they can be delivered.
    """

    def __init__(
        self,
        prepare: Prepare[T],
        write: Write[T],
        dead_letter: DeadLetter,
        retry: Retry | None = None,
    ) -> None:
        self._prepare = prepare
        self._write = write
        self._send_dead_letter = dead_letter
        self._retry = retry or Retry()
        self._interrupted = asyncio.Event()
        self.busy = False
        self.delivered = 0
        self.parked = 0

    def interrupt(self) -> None:
        """Stop retrying: the current try may end, then `deliver` raises its `Transient`."""
        self._interrupted.set()

    def resume(self) -> None:
        """Retry without limit again."""
        self._interrupted.clear()

    async def deliver(self, batch: Sequence[Record]) -> BatchResult:
        """Apply, supersede or dead-letter every record of the batch.

        Raises what is neither `Transient` nor `Permanent`, and after `interrupt` `Transient` too:
        then nothing may be acked, and the batch must be delivered again.
        """
        self.busy = True
        try:
            result = await self._deliver(batch)
        finally:
            self.busy = False
        self.delivered += result.total
        return result

    async def _deliver(self, batch: Sequence[Record]) -> BatchResult:
        prepared = await self._run_step(self._prepare, batch)
        values = [value for value, _ in prepared if not isinstance(value, State | Rejection)]
        written = iter(await self._run_step(self._write, values))
        result = Counter[State]()
        ended: list[Ended] = []
        partial = 0
        for record, (value, attempts) in zip(batch, prepared, strict=True):
            end, tried = (
                (value, attempts) if isinstance(value, State | Rejection) else next(written)
            )
            end, coerced = (end.end, end.kinds) if isinstance(end, Coerced) else (end, ())
            if isinstance(end, Partial):
                await self._dead_letter(record, end.missing, tried)
                result[State.APPLIED] += 1
                partial += 1
            elif isinstance(end, Rejection):
                await self._dead_letter(record, end, tried)
            else:
                result[end] += 1
            state = State.APPLIED if isinstance(end, Partial) else end
            place = record.topic, record.partition, record.offset
            ended.append(Ended(*place, state, coerced, record.timestamp_ms))
        return BatchResult(
            applied=result[State.APPLIED],
            superseded=result[State.SUPERSEDED],
            dead_lettered=len(batch) - result.total(),
            ended=tuple(ended),
            partial=partial,
        )

    async def _run_step(
        self,
        step: Callable[[Sequence[In]], Awaitable[Sequence[Out]]],
        items: Sequence[In],
        tried: int = 0,
    ) -> list[tuple[Out | Rejection, int]]:
        """Run a step until every item has an outcome; pairs it with the number of tries."""
        if not items:
            return []
        outcomes: Sequence[Out] = ()
        try:
            async for attempt in self._tries():
                with attempt:
                    tried += 1
                    outcomes = await step(items)
        except Permanent as error:
            if len(items) == 1:
                return [(Rejection.of(error), tried)]
            half = len(items) // 2
            first = await self._run_step(step, items[:half], tried)
            return first + await self._run_step(step, items[half:], tried)
        if len(outcomes) != len(items):
            raise StreamError(f"{step} returned {len(outcomes)} outcomes for {len(items)} records")
        return [(outcome, tried) for outcome in outcomes]

    async def _dead_letter(self, record: Record, rejection: Rejection, attempts: int) -> None:
        log.warning("dead-lettering %s: %s", record.source, rejection.reason)
        async for attempt in self._tries():
            with attempt:
                await self._send_dead_letter(record, rejection, attempts)

    def _tries(self) -> tenacity.AsyncRetrying:
        return tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Transient),
            wait=tenacity.wait_random_exponential(self._retry.first_s, self._retry.max_s),
            stop=lambda _state: self._interrupted.is_set(),
            sleep=self._pause,
            before_sleep=_log_retry,
            reraise=True,
        )

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._interrupted.wait(), seconds)


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning(
        "try %d failed, next in %.1f s: %s", state.attempt_number, state.upcoming_sleep, error
    )


def exit_unacked() -> NoReturn:
    """End the process at once with `EXIT_UNACKED`: no clean-up can ack or commit by accident."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_UNACKED)
