"""From records of impressions and clicks to attributed clicks and dead letters, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from stream.codec import decode, encode
from stream.consumer_loop import Offsets, Partition
from stream.dead_letter import DeadLetters
from stream.delivery import Rejection
from stream.errors import DecodeError
from stream.messages import AttributedClick, Click, Impression
from stream.publisher import Publisher
from stream.records import Record
from stream.topics import Topics
from workers.deploy.telemetry import EVENTS
from workers.feedback.click_join import ClickJoin, PendingClick


@dataclass
class Feedback:
    """Joins clicks to impressions; `publisher` and `dead_letters` are where they end."""

    topics: Topics
    publisher: Publisher
    dead_letters: DeadLetters
    clicks: ClickJoin
    _handled: Offsets = field(default_factory=dict)  # impressions before that: by an earlier run

    def on_assigned(self, committed: Offsets) -> None:
        """Impressions are read again from a window ago, and the clicks that waited as well."""
        self._handled = committed
        self.clicks.waiting.clear()

    def handle(self, records: Sequence[Record], now: float) -> dict[Partition, int]:
        """Bring every record to its end, or let a click wait for its impression.

        `now` is a clock in seconds. Returns the first click that waits, for each partition with
        one: it and what comes after it must not be committed yet.
        """
        new = []
        for record in records:
            try:
                if record.topic == self.topics.impression.name:
                    impression = decode(record.value, Impression)
                    shown_ms = impression.event_time
                    self.clicks.add_impression(
                        impression, record.timestamp_ms if shown_ms is None else shown_ms
                    )
                else:
                    new.append(PendingClick(decode(record.value, Click), record, now))
            except DecodeError as error:
                self._dead_letter(record, Rejection.of(error))
        for outcome in self.clicks.join(new, now):
            if isinstance(outcome, AttributedClick):
                self._publish(outcome)
            else:
                self._dead_letter(outcome.record, outcome.rejection)
        self.publisher.flush()
        self.clicks.forget_impressions(time.time_ns() // 1_000_000)
        return self._first_waiting()

    def _publish(self, attributed: AttributedClick) -> None:
        topic = self.topics.attributed_click.name
        self.publisher.publish(topic, attributed.click_id, encode(attributed))
        EVENTS.labels("feedback", "applied").inc()

    def _dead_letter(self, record: Record, rejection: Rejection) -> None:
        # An impression that was read before has its dead letter.
        if record.offset < self._handled.get((record.topic, record.partition), 0):
            return
        self.dead_letters.send(record, rejection, attempts=1)
        EVENTS.labels("feedback", "dead_lettered").inc()

    def _first_waiting(self) -> dict[Partition, int]:
        first: dict[Partition, int] = {}
        for waiting in self.clicks.waiting:
            place = (waiting.record.topic, waiting.record.partition)
            first[place] = min(waiting.record.offset, first.get(place, waiting.record.offset))
        return first
