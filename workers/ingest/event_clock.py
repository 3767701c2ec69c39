"""When an event happened, and the times that cannot be right.

A time in the wrong unit is not merely wrong: seconds lie in January 1970, so such an event loses
against every other, and a time of decades ahead wins against all that follow. Both are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from stream.errors import DecodeError
from stream.messages import CatalogEvent
from stream.records import Record

EARLIEST_MS = 10**11
"""March 1973 in milliseconds; in seconds, the year 5138. No catalog event is older."""

UNIT = "times are milliseconds since the epoch"


@dataclass(frozen=True)
class EventClock:
    """What orders an event: its version, if it has one, and its time (ms since the epoch).

    `has_own_time`: whether the event states its time, which is otherwise that of its record, when
    it arrived.
    """

    version: int | None
    time: int
    has_own_time: bool = False


def event_clock(event: CatalogEvent, record: Record) -> EventClock:
    """The event's version, and its own time, else its record's."""
    if event.event_time is None:
        return EventClock(event.version, record.timestamp_ms)
    return EventClock(event.version, event.event_time, has_own_time=True)


def check_time(clock: EventClock, now_ms: int, max_future_ms: int) -> None:
    """Refuse times that cannot be right.

    Raises:
        DecodeError: the time is before `EARLIEST_MS`, or more than `max_future_ms` after `now_ms`.
    """
    time, own = clock.time, clock.has_own_time
    what = f"field `event_time` is {time}" if own else f"the record's timestamp is {time}"
    if time < EARLIEST_MS:
        raise DecodeError(
            f"{what}, which is {_date(time)}: {UNIT}"
            + (f"; if these are seconds, send {1000 * time}" if time * 1000 >= EARLIEST_MS else "")
            + ("" if own else ", or give the event a time (`event_time`)")
        )
    if time > now_ms + max_future_ms:
        raise DecodeError(
            f"{what}, which is {_date(time)}, and now is {_date(now_ms)}: {UNIT}, at most "
            f"{max_future_ms / 1000:g} s (ingest.max_future_s) ahead; correct the clock or unit "
            "and send the event again"
        )


def _date(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return "no date"
