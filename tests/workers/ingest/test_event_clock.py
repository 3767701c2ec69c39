"""Times in the wrong unit and from a wrong clock are refused with a sentence; all others pass."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.codec import decode
from stream.errors import DecodeError
from stream.messages import CatalogEvent, ProductDelete
from stream.records import Record
from workers.ingest.event_clock import check_time, event_clock

NOW_S = 1_795_645_930
NOW = 1000 * NOW_S
DAY = 24 * 3600 * 1000
since_1990 = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
)


def time_of(event_ms: int | None, record_ms: int = NOW, max_future_ms: int = DAY) -> int:
    record = Record(topic="t", partition=0, offset=0, key=b"p", value=b"", timestamp_ms=record_ms)
    event = ProductDelete(product_id="p", event_time=event_ms)
    clock = event_clock(event, record)
    check_time(clock, NOW, max_future_ms)
    assert clock.has_own_time == (event_ms is not None)
    return clock.time


@given(st.integers(10**11, NOW + DAY), st.integers(10**11, NOW + DAY))
def test_the_events_own_time_counts_else_the_records(own: int, logged: int) -> None:
    assert time_of(own, logged) == own
    assert time_of(own, -1) == own
    assert time_of(None, logged) == logged


@given(since_1990)
def test_a_time_in_seconds_is_refused_and_converted(since_epoch: timedelta) -> None:
    seconds = since_epoch // timedelta(seconds=1)
    for own, logged in ((seconds, NOW), (None, seconds)):
        with pytest.raises(DecodeError, match="milliseconds since the epoch") as refused:
            time_of(own, logged)
        assert f"is {seconds}," in str(refused.value)
        assert f"send {1000 * seconds}" in str(refused.value)


@given(since_1990, st.sampled_from([10**6, 10**9]))
def test_micro_and_nanoseconds_are_refused(since_epoch: timedelta, per_second: int) -> None:
    """Already by the type of the field: they lie beyond the year 9999."""
    value = since_epoch // timedelta(seconds=1) * per_second
    event = {"type": "delete", "product_id": "p", "event_time": value}
    with pytest.raises(DecodeError, match=f"milliseconds since the epoch, and {value} was given"):
        decode(orjson.dumps(event), CatalogEvent)


@given(st.integers(NOW + DAY + 1, 253_402_300_799_999))
def test_a_time_too_far_ahead_is_refused(future: int) -> None:
    for own, logged in ((future, NOW), (None, future)):
        with pytest.raises(DecodeError, match=r"at most 86400 s \(ingest.max_future_s\) ahead"):
            time_of(own, logged)


@pytest.mark.parametrize("ms", [0, -1, -(2**62), 2**62])
def test_a_record_without_a_sensible_time_needs_one_in_the_event(ms: int) -> None:
    with pytest.raises(DecodeError, match="milliseconds since the epoch"):
        time_of(None, ms)


def test_the_bound_on_the_future_is_a_setting() -> None:
    assert time_of(NOW, max_future_ms=0) == NOW
    with pytest.raises(DecodeError, match="2026-11-25 22:32:10 UTC: times are milliseconds"):
        time_of(NOW + 1, max_future_ms=0)
