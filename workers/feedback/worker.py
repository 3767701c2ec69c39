"""The feedback worker: clicks joined to their impressions become attributed clicks.

At every start impressions are read from as far back as a click may reach, whatever was committed:
the topic itself is the state, so a restart forgets nothing. A click's offset is committed once it
is attributed or dead-lettered; while one waits for its impression, nothing after it is committed.
After a crash a click may be attributed again, under the same key.
"""

from __future__ import annotations

import time

from stream.connection import Kafka
from stream.consumer_loop import ConsumerLoop
from stream.dead_letter import DeadLetters
from stream.publisher import Publisher
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.signals import stop_flag, when_ready
from workers.feedback.click_join import ClickJoin
from workers.feedback.steps import Feedback


def feedback_loop(kafka: Kafka, group: str, feedback: Feedback) -> ConsumerLoop:
    """The loop that brings `feedback` its records.

    A click and its impression have the same key, so that their partitions have the same number and
    are assigned to the same worker (range assignment).
    """
    impressions, clicks = feedback.topics.impression.name, feedback.topics.click.name
    return ConsumerLoop(
        kafka=kafka,
        group=group,
        topics=(impressions, clicks),
        handle=lambda records: feedback.handle(records, time.monotonic()),
        rewind_ms={impressions: feedback.clicks.window_ms},
        on_assigned=feedback.on_assigned,
    )


def run_feedback(settings: Settings) -> None:
    """Attribute clicks until a signal comes."""
    kafka, topics, feedback = kafka_of(settings), topics_of(settings), settings.feedback
    clicks = ClickJoin(round(feedback.window_s * 1000), feedback.click_wait_s)
    with Publisher(kafka) as publisher:
        steps = Feedback(topics, publisher, DeadLetters(kafka, topics), clicks)
        loop = feedback_loop(kafka, settings.group("feedback"), steps)
        loop.run(stop_flag(), when_ready("feedback", settings))
