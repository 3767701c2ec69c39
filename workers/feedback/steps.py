"""The feedback worker: clicks joined to their impressions become attributed clicks.

Impressions are read from as far back as a click may reach, at every start, whatever was committed:
the topic itself is the state, so a restart forgets nothing. A click's offset is committed once it
is attributed or dead-lettered; while one waits for its impression, nothing after it is committed.
After a crash a click may be attributed again, under the same key.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import structlog

from stream.codec import decode, encode
from stream.dead_letter import DeadLetters
from stream.delivery import Rejection
from stream.errors import DecodeError
from stream.messages import Click, Impression
from stream.publisher import Publisher
from stream.records import Record
from stream.topics import Topics
from workers.deploy.telemetry import EVENTS
from workers.feedback.click_join import ClickJoin, Waiting

log = structlog.get_logger()

BATCH = 500
POLL_S = 0.1


@dataclass
class Feedback:
    """Joins one batch of records at a time; `publisher` and `dead_letters` are where they end."""

    topics: Topics
    publisher: Publisher
    dead_letters: DeadLetters
    attribution: ClickJoin
    # Per impression partition: what lies before was judged by an earlier run.
    judged: dict[int, int] = field(default_factory=dict)

    def take(self, records: list[Record], now: float) -> None:
        """Bring every record to its end, or let a click wait for its impression."""
        for record in records:
            try:
                if record.topic == self.topics.impression.name:
                    self._impression(record, now)
                else:
                    self._click(decode(record.value, Click), record, now)
            except DecodeError as error:
                self._refuse(record, Rejection.of(error))
        for late in self.attribution.expire(now, time.time_ns() // 1_000_000):
            self._refuse(late.record, _no_impression(late))
        self.publisher.flush()

    def waiting_from(self, topic: str, partition: int) -> int | None:
        """The first offset of a partition that must not be committed yet."""
        return min(
            (
                w.record.offset
                for w in self.attribution.waiting
                if (w.record.topic, w.record.partition) == (topic, partition)
            ),
            default=None,
        )

    def _impression(self, record: Record, now: float) -> None:
        impression = decode(record.value, Impression)
        seen_at = impression.event_time
        ready = self.attribution.see_impression(
            impression, record.timestamp_ms if seen_at is None else seen_at
        )
        for waiting in ready:
            self._click(waiting.click, waiting.record, now)

    def _click(self, click: Click, record: Record, now: float) -> None:
        try:
            attributed = self.attribution.see_click(click, record, now)
        except LookupError as error:
            self._refuse(record, Rejection(str(error), "ProductNotShown"))
            return
        if attributed is not None:
            topic = self.topics.attributed_click.name
            self.publisher.publish(topic, attributed.click_id, encode(attributed))
            EVENTS.labels("feedback", "applied").inc()

    def _refuse(self, record: Record, rejection: Rejection) -> None:
        # Impressions are read again at every start: one letter for each bad one is enough.
        if record.topic == self.topics.impression.name and record.offset < self.judged.get(
            record.partition, 0
        ):
            return
        self.dead_letters.send(record, rejection, attempts=1)
        EVENTS.labels("feedback", "dead_lettered").inc()


def _no_impression(late: Waiting) -> Rejection:
    return Rejection(
        f"no impression of query {late.click.query_id!r} was seen: the click is too late, "
        "or its query_id is wrong",
        "NoImpression",
    )
