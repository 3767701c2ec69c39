"""When an event happened, and the times that cannot be right.

A time in the wrong unit is not merely wrong: seconds lie in January 1970, so such an event loses
against every other, and a time of decades ahead wins against all that follow. Both are refused.
"""

from __future__ import annotations

from datetime import UTC, datetime

from stream.errors import DecodeError
from stream.messages import CatalogEvent
from stream.records import Record

EARLIEST_MS = 10**11
"""March 1973 in milliseconds; in seconds, the year 5138. No catalog event is older."""

UNIT = "times are milliseconds since the epoch"


def event_time(event: CatalogEvent, record: Record, now_ms: int, max_future_ms: int) -> int:
    """The event's own time, else the record's, in milliseconds since the epoch.

    Raises:
        DecodeError: it is before `EARLIEST_MS`, or more than `max_future_ms` after `now_ms`.
    """
    own = event.event_time is not None
    time = record.timestamp_ms if event.event_time is None else event.event_time
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
    return time


def _date(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return "no date"
