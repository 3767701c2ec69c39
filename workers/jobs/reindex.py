"""What building an index anew finds before it begins, and where it goes on after a recording."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from index.prototypes.registry import BankRegistry
from stream.records import Record
from stream.span_reader import Edge, Span, SpanReader, Time
from workers.config.settings import Settings
from workers.config.wiring import catalog_topics, kafka_of
from workers.errors import SettingsError
from workers.jobs.generations import (
    Generation,
    describe,
    list_generations,
    lookup,
    replay_group,
)

BEFORE_END_MS = 3_600_000
"""How long before its end the topic is read again after a recording: partitions are recorded one
after the other, clocks differ, and what is applied twice changes nothing."""


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes:
        into: the generation that is built.
        model_id: whose vectors it gets.
        live_model_id: whose vectors are live; "" if nothing is.
        live_items: items in the live index.
        begun_items: items that an earlier run has left in the generation.
        events: to be replayed, at least: the embedded broker's watermarks are too low. None for a
            recording.
    """

    into: str
    model_id: str
    live_model_id: str
    live_items: int
    begun_items: int
    events: int | None


def begun(settings: Settings, name: str) -> Generation | None:
    """What an earlier run has left, None if it left nothing."""
    return next((one for one in list_generations(settings) if one.name == name), None)


def check_model(found: Generation, model_id: str) -> None:
    """Raise SettingsError unless a generation that was begun can be gone on with."""
    if found.model_id not in ("", model_id):
        raise SettingsError(
            f"the generation {found.name!r} was begun with model {found.model_id!r}, and the "
            f"settings name {model_id!r}: run again with --restart to drop it and begin anew"
        )


def plan(settings: Settings, into: str, model_id: str, *, from_topic: bool, restart: bool) -> Plan:
    """Look, and change nothing.

    Raises:
        SettingsError: an earlier run has begun with another model.
        BrokerError: Kafka does not answer.
    """
    live = describe(settings, "live")
    found = None if restart else begun(settings, into)
    if found is not None:
        check_model(found, model_id)
    return Plan(
        into=into,
        model_id=model_id,
        live_model_id=live.model_id,
        live_items=live.items,
        begun_items=found.items if found else 0,
        events=_events(settings, lookup(settings, into) if found else None) if from_topic else None,
    )


def has_live_index(settings: Settings) -> bool:
    """Whether anything was ever indexed here."""
    return BankRegistry(settings.data_dir).current() is not None


@dataclass
class RecordingEnd:
    """Watches the records of a recording, to tell up to which time it is complete."""

    _newest_ms: dict[tuple[str, int], int] = field(default_factory=dict)
    """By topic and partition."""

    def watch(self, records: Iterator[Record]) -> Iterator[Record]:
        """The same records."""
        for record in records:
            place = record.topic, record.partition
            self._newest_ms[place] = max(self._newest_ms.get(place, 0), record.timestamp_ms)
            yield record

    def follow(self, settings: Settings, candidate: Settings) -> None:
        """Let a generation go on in the catalog's topics from where the recording ended.

        That is an hour before the partition that ends first: what lies before is in it, whatever
        deployment was recorded.

        Raises:
            BrokerError: Kafka does not answer.
        """
        group = replay_group(settings, candidate)
        span = Span(Time(max(0, min(self._newest_ms.values(), default=0) - BEFORE_END_MS)))
        with ExitStack() as stack:
            for topic in catalog_topics(settings):
                reader = SpanReader(kafka_of(settings), topic, span, group=group)
                stack.enter_context(reader).save_start()


def _events(settings: Settings, candidate: Settings | None) -> int:
    """How many records of the catalog's topics are still to be replayed into a generation."""
    group = replay_group(settings, candidate) if candidate else settings.group("replay")
    span = Span(Edge.LAST if candidate else Edge.BEGINNING, Edge.NOW)
    total = 0
    for topic in catalog_topics(settings):
        with SpanReader(kafka_of(settings), topic, span, group=group) as reader:
            total += reader.total
    return total
