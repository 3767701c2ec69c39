"""The join of clicks to the impressions they were made on.

State only, no Kafka: `workers/feedback.py` feeds it. Either side may come first, since the two
topics are read side by side; a click waits for its impression a little, an impression waits for
clicks as long as the window is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.messages import AttributedClick, Click, Impression
from stream.records import Record


@dataclass(frozen=True)
class Waiting:
    """A click whose impression has not been seen; `since` on the caller's clock, in seconds."""

    click: Click
    record: Record
    since: float


@dataclass
class ClickJoin:
    """Impressions of the last `window_ms`, and the clicks that wait for theirs.

    Times of events are in milliseconds since the epoch; `now` is the caller's clock in seconds,
    so that a test can advance it by hand.
    """

    window_ms: int
    patience_s: float
    impressions: dict[str, tuple[Impression, int]] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)

    def see_impression(self, impression: Impression, time_ms: int) -> list[Waiting]:
        """Remember it; the clicks that waited for it, to be attributed now."""
        self.impressions[impression.query_id] = (impression, time_ms)
        ready = [w for w in self.waiting if w.click.query_id == impression.query_id]
        self.waiting = [w for w in self.waiting if w.click.query_id != impression.query_id]
        return ready

    def see_click(self, click: Click, record: Record, now: float) -> AttributedClick | None:
        """The click with what was shown; None while its impression is not there.

        Raises:
            LookupError: the product was not in the list that was shown.
        """
        known = self.impressions.get(click.query_id)
        if known is None:
            self.waiting.append(Waiting(click, record, now))
            return None
        impression, shown_at = known
        place = next((s for s in impression.items if s.product_id == click.product_id), None)
        if place is None:
            raise LookupError(
                f"product {click.product_id!r} was not among the {len(impression.items)} shown "
                f"for query {click.query_id!r}"
            )
        return AttributedClick(
            click_id=click.click_id,
            query_id=click.query_id,
            product_id=click.product_id,
            item_id=place.item_id,
            position=place.position,
            shown=impression.items,
            model_id=impression.model_id,
            bank_version=impression.bank_version,
            impression_time=shown_at,
            click_time=click.event_time if click.event_time is not None else record.timestamp_ms,
        )

    def expire(self, now: float, now_ms: int) -> list[Waiting]:
        """Forget impressions older than the window; the clicks that have waited too long."""
        # Impressions come nearly in order of time, so the old ones are at the front.
        for query_id, (_, shown_at) in list(self.impressions.items()):
            if shown_at >= now_ms - self.window_ms:
                break
            del self.impressions[query_id]
        late = [w for w in self.waiting if now - w.since > self.patience_s]
        self.waiting = [w for w in self.waiting if now - w.since <= self.patience_s]
        return late
