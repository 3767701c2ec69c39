"""The join of clicks to the impressions they were made on: state only, no Kafka.

Either may come first, since their topics are read side by side: a click waits a little for its
impression, an impression stays as long as it can be clicked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from stream.delivery import Rejection
from stream.messages import AttributedClick, Click, Impression
from stream.records import Record


@dataclass(frozen=True)
class PendingClick:
    """A click to be joined; `since` is when it was read, on the caller's clock, in seconds."""

    click: Click
    record: Record
    since: float


@dataclass(frozen=True)
class RejectedClick:
    """A click that no impression explains."""

    record: Record
    rejection: Rejection


@dataclass
class ClickJoin:
    """Impressions of the last `window_ms`, and the clicks that wait for theirs.

    Times of events are in milliseconds since the epoch; `now` is the caller's clock in seconds, so
    that a test can advance it by hand. A click waits at most `max_wait_s` seconds.
    """

    window_ms: int
    max_wait_s: float
    impressions: dict[str, tuple[Impression, int]] = field(default_factory=dict)
    waiting: list[PendingClick] = field(default_factory=list)

    def add_impression(self, impression: Impression, time_ms: int) -> None:
        """Remember what was shown, and when."""
        self.impressions[impression.query_id] = (impression, time_ms)

    def join(
        self, clicks: Iterable[PendingClick], now: float
    ) -> list[AttributedClick | RejectedClick]:
        """What became of the clicks that waited and of the new ones; some go on waiting."""
        outcomes: list[AttributedClick | RejectedClick] = []
        pending, self.waiting = [*self.waiting, *clicks], []
        for one in pending:
            shown = self.impressions.get(one.click.query_id)
            if shown is not None:
                outcomes.append(attribute(one, *shown))
            elif now - one.since <= self.max_wait_s:
                self.waiting.append(one)
            else:
                outcomes.append(RejectedClick(one.record, _no_impression(one.click)))
        return outcomes

    def forget_impressions(self, now_ms: int) -> None:
        """Drop the impressions that are older than the window."""
        # They come nearly in order of time, so the old ones are at the front.
        for query_id, (_, shown_ms) in list(self.impressions.items()):
            if shown_ms >= now_ms - self.window_ms:
                break
            del self.impressions[query_id]


def attribute(
    pending: PendingClick, impression: Impression, shown_ms: int
) -> AttributedClick | RejectedClick:
    """The click with the list it was made on; rejected if the product was not in it."""
    click, record = pending.click, pending.record
    place = next((item for item in impression.items if item.product_id == click.product_id), None)
    if place is None:
        reason = (
            f"product {click.product_id!r} was not among the {len(impression.items)} shown "
            f"for query {click.query_id!r}"
        )
        return RejectedClick(record, Rejection(reason, "ProductNotShown"))
    return AttributedClick(
        click_id=click.click_id,
        query_id=click.query_id,
        product_id=click.product_id,
        action=click.action,
        item_id=place.item_id,
        position=place.position,
        shown=impression.items,
        model_id=impression.model_id,
        bank_version=impression.bank_version,
        impression_time=shown_ms,
        click_time=click.event_time if click.event_time is not None else record.timestamp_ms,
    )


def _no_impression(click: Click) -> Rejection:
    return Rejection(
        f"no impression of query {click.query_id!r} was seen: the click is too late, "
        "or its query_id is wrong",
        "NoImpression",
    )
