from hypothesis import given
from hypothesis import strategies as st

from workers.web import rate_limit
from workers.web.rate_limit import RateLimit


@given(
    st.lists(st.floats(0, 3, allow_nan=False), max_size=60),
    st.integers(1, 10),
    st.floats(0.1, 20),
)
def test_no_client_gets_more_than_burst_and_rate(
    waits: list[float], burst: int, per_second: float
) -> None:
    now, passed = 0.0, 0
    limit = RateLimit(per_second, burst, lambda: now)
    for wait in waits:
        now += wait
        passed += limit.take("a") == 0
    assert passed <= burst + now * per_second + 1e-6


def test_what_is_promised_holds() -> None:
    now = [0.0]
    limit = RateLimit(4, 1, lambda: now[0])
    assert limit.take("a") == 0
    wait = limit.take("a")
    now[0] += wait
    assert limit.take("a") == 0


def test_old_clients_are_forgotten(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(rate_limit, "MOST_CLIENTS", 2)
    limit = RateLimit(1, 1, lambda: 0.0)
    assert [limit.take(name) == 0 for name in "abca"] == [True] * 4
    assert limit.take("a") > 0
