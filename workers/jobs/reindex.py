"""What building an index anew finds before it begins: what is live, what was begun, what to do."""

from __future__ import annotations

from dataclasses import dataclass

from index.prototypes.registry import BankRegistry
from stream.span_reader import Edge, Span, SpanReader
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


def _events(settings: Settings, candidate: Settings | None) -> int:
    """How many records of the catalog's topics are still to be replayed into a generation."""
    group = replay_group(settings, candidate) if candidate else settings.group("replay")
    span = Span(Edge.LAST if candidate else Edge.BEGINNING, Edge.NOW)
    total = 0
    for topic in catalog_topics(settings):
        with SpanReader(kafka_of(settings), topic, span, group=group) as reader:
            total += reader.total
    return total
