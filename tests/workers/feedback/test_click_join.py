"""Clicks and impressions: joined in either order, within the window, with a clock moved by hand."""

import pytest

from stream.messages import Click, Impression, Shown
from stream.records import Record
from workers.feedback.click_join import ClickJoin


def impression(query_id: str = "q", products: tuple[str, ...] = ("a", "b")) -> Impression:
    return Impression(
        query_id=query_id,
        items=tuple(
            Shown(product_id=p, item_id=f"{p}#0", position=n, score=0.5)
            for n, p in enumerate(products, start=1)
        ),
        model_id="m",
        bank_version="v",
    )


def click(product_id: str = "b", query_id: str = "q") -> Click:
    return Click(click_id="c", query_id=query_id, product_id=product_id)


def record(offset: int = 0) -> Record:
    return Record(
        topic="click", partition=0, offset=offset, key=b"q", value=b"", timestamp_ms=7_000
    )


@pytest.fixture
def attribution() -> ClickJoin:
    return ClickJoin(window_ms=60_000, patience_s=10)


def test_a_click_is_attributed_to_the_list_it_was_made_on(attribution: ClickJoin) -> None:
    attribution.see_impression(impression(), time_ms=5_000)
    found = attribution.see_click(click(), record(), now=0)
    assert found is not None
    assert (found.item_id, found.position, len(found.shown)) == ("b#0", 2, 2)
    assert (found.model_id, found.bank_version) == ("m", "v")
    assert (found.impression_time, found.click_time) == (5_000, 7_000)


def test_a_click_before_its_impression_waits_for_it(attribution: ClickJoin) -> None:
    assert attribution.see_click(click(), record(), now=0) is None
    assert attribution.see_impression(impression("other"), time_ms=0) == []
    ready = attribution.see_impression(impression(), time_ms=0)
    assert [waiting.click for waiting in ready] == [click()]
    assert attribution.waiting == []


def test_a_click_waits_no_longer_than_its_patience(attribution: ClickJoin) -> None:
    attribution.see_click(click(), record(), now=0)
    assert attribution.expire(now=10, now_ms=0) == []
    assert [waiting.click for waiting in attribution.expire(now=10.1, now_ms=0)] == [click()]
    assert attribution.waiting == []


def test_an_impression_is_forgotten_after_the_window(attribution: ClickJoin) -> None:
    attribution.see_impression(impression(), time_ms=1_000)
    attribution.expire(now=0, now_ms=61_000)
    assert attribution.see_click(click(), record(), now=0) is not None
    attribution.expire(now=0, now_ms=61_001)
    assert attribution.see_click(click(), record(), now=0) is None


def test_a_click_on_what_was_not_shown_is_refused(attribution: ClickJoin) -> None:
    attribution.see_impression(impression(), time_ms=0)
    with pytest.raises(LookupError, match="'z' was not among the 2 shown for query 'q'"):
        attribution.see_click(click("z"), record(), now=0)
