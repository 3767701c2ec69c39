"""Clicks and impressions: joined in either order, within the window, with a clock moved by hand."""

import pytest

from stream.delivery import Rejection
from stream.messages import AttributedClick, Click, Impression, Shown
from stream.records import Record
from workers.feedback.click_join import ClickJoin, PendingClick, RejectedClick


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


def pending(one: Click | None = None) -> PendingClick:
    return PendingClick(one or click(), record(), since=0)


@pytest.fixture
def clicks() -> ClickJoin:
    return ClickJoin(window_ms=60_000, max_wait_s=10)


def test_a_click_is_attributed_to_the_list_it_was_made_on(clicks: ClickJoin) -> None:
    clicks.add_impression(impression(), time_ms=5_000)
    [found] = clicks.join([pending()], now=0)
    assert isinstance(found, AttributedClick)
    assert (found.item_id, found.position, len(found.shown)) == ("b#0", 2, 2)
    assert (found.model_id, found.bank_version) == ("m", "v")
    assert (found.impression_time, found.click_time) == (5_000, 7_000)


def test_a_purchase_is_attributed_as_a_click_is(clicks: ClickJoin) -> None:
    clicks.add_impression(impression(), time_ms=5_000)
    bought = Click(click_id="c", query_id="q", product_id="a", action="purchase")
    [found] = clicks.join([pending(bought)], now=0)
    assert isinstance(found, AttributedClick)
    assert (found.action, found.product_id, found.position) == ("purchase", "a", 1)


def test_a_click_before_its_impression_waits_for_it(clicks: ClickJoin) -> None:
    assert clicks.join([pending()], now=0) == []
    clicks.add_impression(impression("other"), time_ms=0)
    assert clicks.join([], now=0) == []
    clicks.add_impression(impression(), time_ms=0)
    [found] = clicks.join([], now=0)
    assert isinstance(found, AttributedClick)
    assert found.click_id == click().click_id
    assert clicks.waiting == []


def test_a_click_waits_no_longer_than_it_may(clicks: ClickJoin) -> None:
    clicks.join([pending()], now=0)
    assert clicks.join([], now=10) == []
    [late] = clicks.join([], now=10.1)
    assert isinstance(late, RejectedClick)
    assert late.record == record()
    assert late.rejection.error_class == "NoImpression"
    assert clicks.waiting == []


def test_an_impression_is_forgotten_after_the_window(clicks: ClickJoin) -> None:
    clicks.add_impression(impression(), time_ms=1_000)
    clicks.forget_impressions(now_ms=61_000)
    assert len(clicks.join([pending()], now=0)) == 1
    clicks.forget_impressions(now_ms=61_001)
    assert clicks.join([pending()], now=0) == []


def test_a_click_on_what_was_not_shown_is_rejected(clicks: ClickJoin) -> None:
    clicks.add_impression(impression(), time_ms=0)
    [refused] = clicks.join([pending(click("z"))], now=0)
    assert isinstance(refused, RejectedClick)
    assert refused.rejection == Rejection(
        "product 'z' was not among the 2 shown for query 'q'", "ProductNotShown"
    )
