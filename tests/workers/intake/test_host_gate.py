"""Turns at a host, on a clock that the test turns by hand."""

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import FetchError
from workers.intake import host_gate
from workers.intake.host_gate import (
    DOWN_AFTER,
    MAX_PAUSE_S,
    MAX_RETRY_AFTER_S,
    TOLERATED_FAILURES,
    HostFailed,
    HostGate,
    HostGates,
    HostThrottled,
    retry_after_s,
)

PATIENCE_S = 1000.0


class Time:
    """A clock; whoever sleeps moves it, when nobody else can go on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        for _ in range(50):
            await asyncio.sleep(0)
        self.now += seconds


class Host:
    """A gate, and what the host does with each request."""

    def __init__(self, limit: int = 8) -> None:
        self.time = Time()
        self.gate = HostGate("https://shop.test:443", limit, self.time.clock, self.time.sleep)
        self.asked: list[float] = []
        self.at_once = self.most_at_once = 0

    async def ask(
        self, answer: Exception | None = None, *, patience_s: float = PATIENCE_S, takes_s: float = 0
    ) -> None:
        async with self.gate.turn(self.time.now + patience_s) as answered:
            self.asked.append(self.time.now)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            for _ in range(3):
                await asyncio.sleep(0)
            self.time.now += takes_s
            self.at_once -= 1
            if not isinstance(answer, HostFailed):
                answered()
            if answer:
                raise answer

    async def refuse(self, answer: Exception, **settings: float) -> None:
        with pytest.raises(type(answer)):
            await self.ask(answer, **settings)


def throttled(after_s: float | None) -> HostThrottled:
    return HostThrottled("it answered 429", after_s)


async def test_a_host_gets_so_many_requests_at_a_time() -> None:
    host = Host(limit=3)
    await asyncio.gather(*(host.ask() for _ in range(10)))
    assert host.most_at_once == 3
    assert len(host.asked) == 10


async def test_nothing_is_asked_before_the_host_wants_it() -> None:
    host = Host()
    await host.refuse(throttled(3.0))
    await asyncio.gather(*(host.ask() for _ in range(8)))
    assert host.asked == [0.0, *[3.0] * 8]


async def test_after_a_refusal_one_is_tried_alone() -> None:
    host = Host()
    await host.refuse(throttled(3.0))
    again = asyncio.gather(
        host.ask(throttled(3.0)), *(host.ask() for _ in range(7)), return_exceptions=True
    )
    await again
    assert host.asked == [0.0, 3.0, *[6.0] * 7]


async def test_who_was_asked_before_the_refusal_does_not_open_the_gate() -> None:
    """Eight are under way: one is throttled, and the others are answered after it."""
    host = Host()
    outcomes = await asyncio.gather(
        host.ask(throttled(3.0)), *(host.ask() for _ in range(7)), return_exceptions=True
    )
    assert sum(isinstance(one, HostThrottled) for one in outcomes) == 1
    await host.ask()
    assert host.asked[-1] == 3.0


async def test_without_a_time_pauses_double_up_to_a_minute() -> None:
    host = Host()
    for _ in range(12):
        await host.refuse(throttled(None))
    pauses = [b - a for a, b in zip(host.asked, host.asked[1:], strict=False)]
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert pauses[-1] == MAX_PAUSE_S
    await host.ask()
    await host.refuse(throttled(None))
    await host.ask()
    assert host.asked[-1] - host.asked[-2] == 0.5


async def test_concurrent_refusals_count_as_one() -> None:
    host = Host()
    await asyncio.gather(*(host.ask(throttled(None)) for _ in range(8)), return_exceptions=True)
    await host.ask()
    assert host.asked == [*[0.0] * 8, 0.5]


async def test_a_lost_request_now_and_then_stops_nobody() -> None:
    host = Host()
    for _ in range(TOLERATED_FAILURES):
        await host.refuse(HostFailed("connection reset"))
    await host.ask()
    assert not host.time.slept
    for _ in range(TOLERATED_FAILURES + 1):
        await host.refuse(HostFailed("connection reset"))
    await host.ask()
    assert host.time.slept == [0.5]


async def test_a_host_that_is_down_delays_nobody_and_is_tried_again() -> None:
    host = Host()
    for _ in range(TOLERATED_FAILURES + DOWN_AFTER):
        await host.refuse(HostFailed("ConnectTimeout"))
    before = host.time.now
    for _ in range(100):
        with pytest.raises(FetchError, match=r"shop.test:443 gets no request for 4 s, because Con"):
            await host.ask()
    assert host.time.now == before
    host.time.now += 4
    await host.ask()
    await host.ask()
    assert host.time.now == before + 4


async def test_what_waits_when_a_host_goes_down_fails_at_once() -> None:
    host = Host(limit=1)
    waiting = [host.ask(HostFailed("ConnectTimeout"), takes_s=10) for _ in range(30)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    kinds = [type(one) for one in outcomes]
    assert kinds == [HostFailed] * (TOLERATED_FAILURES + DOWN_AFTER) + [FetchError] * (
        30 - TOLERATED_FAILURES - DOWN_AFTER
    )


async def test_who_cannot_wait_that_long_fails_at_once() -> None:
    host = Host()
    await host.refuse(throttled(50.0))
    with pytest.raises(FetchError, match="gets no request for 50 s, because it answered 429"):
        await host.ask(patience_s=30)
    assert host.time.now == 0
    await host.ask(patience_s=60)
    assert host.asked == [0.0, 50.0]


async def test_a_slow_host_is_waited_for_only_so_long() -> None:
    gate = HostGate("https://slow.test:443", 1)
    loop = asyncio.get_running_loop()

    async def hang() -> None:
        async with gate.turn(loop.time() + 60):
            await asyncio.Event().wait()

    hanging = asyncio.create_task(hang())
    await asyncio.sleep(0)
    with pytest.raises(FetchError, match=r"slow.test:443 is slow, or busy with other pictures"):
        async with gate.turn(loop.time() + 0.02):
            raise AssertionError
    hanging.cancel()


async def test_what_a_host_says_about_a_picture_is_no_refusal() -> None:
    host = Host()
    for _ in range(20):
        await host.refuse(FetchError("answered 404"))
    assert not host.time.slept


async def test_a_failure_after_the_host_has_answered_is_one_of_the_picture() -> None:
    host = Host()

    async def ask() -> None:
        async with host.gate.turn(PATIENCE_S) as answered:
            answered()
            raise HostFailed("the body was cut off")

    for _ in range(20):
        with pytest.raises(HostFailed):
            await ask()
    assert not host.time.slept


async def test_a_wild_time_is_not_obeyed() -> None:
    host = Host()
    await host.refuse(throttled(10.0**12))
    await host.ask()
    assert host.asked == [0.0, MAX_RETRY_AFTER_S]


async def test_hosts_do_not_wait_for_each_other_and_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host_gate, "MAX_GATES", 5)
    time = Time()
    gates = HostGates(lambda _host: 2, time.clock, time.sleep)
    for number in range(20):
        with pytest.raises(HostThrottled):
            async with gates.turn(f"https://h{number}.test:443", PATIENCE_S):
                raise throttled(100.0)
        async with gates.turn(f"https://good{number}.test:443", PATIENCE_S) as answered:
            answered()
    assert time.now == 0
    assert len(gates._gates) == 5


NOW = 1_800_000_000.0


@given(st.integers(0, 10**9), st.integers(-(10**6), 10**6))
def test_retry_after_in_seconds_and_as_a_date(seconds: int, our_clock_is_off: int) -> None:
    assert retry_after_s(str(seconds), "", NOW) == seconds
    sent = format_datetime(datetime.fromtimestamp(NOW, UTC), usegmt=True)
    then = format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)
    assert retry_after_s(then, sent, NOW + our_clock_is_off) == seconds
    assert retry_after_s(then, "", NOW) == seconds
    assert retry_after_s(sent, then, NOW) == 0


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_retry_after_is_a_time_or_nothing(value: str, date: str) -> None:
    after = retry_after_s(value, date, NOW)
    assert after is None or after >= 0
