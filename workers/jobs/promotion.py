"""How a generation becomes the live catalog while workers write and search, and how it goes back.

The candidate follows the catalog topics to their end. Then the gate through which all writers go is
closed (`index.lifecycle.locks`), the candidate takes what came in the last moment, and the alias
moves: it holds whatever the one before held, so no search misses a change that an earlier one has
seen. Workers find the other generation at their next write. If the last moment takes too long, the
gate opens again and it is tried anew.

What was live becomes the generation `previous`, with the position that the ingest workers had
committed. It gets no events any more; going back is the same step the other way, and begins with
replaying what it has missed.

Each step is on disk before the next is made, and the alias decides: what a command that died has
left is completed or taken back by the next command or worker that starts (`settle`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from index.errors import ChangeUnderWay
from index.lifecycle.locks import WriteGate, one_change
from index.lifecycle.promote import generation_of
from index.lifecycle.promote import promote as promote_collection
from index.lifecycle.repartition import OtherWriters, repartition
from index.milvus.collection import Collection
from index.prototypes.bank import PrototypeBank
from index.prototypes.protocol import Bank
from index.prototypes.registry import BankRegistry
from models.embedding.protocol import CatalogEncoder
from models.weights.files import replacing
from stream.positions import copy_positions
from workers.catalog_index import open_catalog
from workers.config.chosen_encoder import hand_over, keep_choice
from workers.config.settings import Settings
from workers.config.wiring import catalog_topics, kafka_of, milvus_config_of
from workers.errors import SettingsError
from workers.evidence.sample import exchange_evidence
from workers.jobs.build import Follower, open_follower
from workers.jobs.generations import (
    CHANGE_PATIENCE_S,
    PREVIOUS,
    existing,
    folders,
    generation_behind,
    name_of,
    new_folder,
    note_collection,
    remove,
    replay_group,
    settings_in,
)

log = structlog.get_logger()

SWITCH = "switch.json"
"""The file in a candidate's folder that says what it is about to replace."""
PATIENCE_S = (0.5, 0.5, 0.5, 1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""How long writers are held up at most, at each try, while the last events are applied."""

Step = Callable[[str], None]
"""Told before each step of a promotion; a test dies there."""


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """A promotion that has begun.

    Attributes:
        candidate: the collection that is to be the live one.
        previous: the folder of what was live, by name; "" if nothing was.
        same_model: whether one model made both.
    """

    candidate: str
    previous: str
    same_model: bool


@dataclass(frozen=True)
class Promoted:
    """How a promotion went: events applied since the generation was built, seconds at the gate."""

    caught_up: int
    held_s: float


async def promote(
    settings: Settings,
    name: str,
    encoder: CatalogEncoder | None = None,
    *,
    on_step: Step = lambda _step: None,
) -> Promoted:
    """Make a generation the live catalog; what was live is the generation `previous` then.

    Args:
        settings: of the live catalog.
        name: of the generation; `PREVIOUS` goes back.
        encoder: of the generation, which applies what came since it was built; None leaves it as it
            is, and what the live catalog has beyond it is left behind.
        on_step: called before each step.

    Raises:
        SettingsError: there is no such generation, nothing is in it, it is of another model than
            the encoder, or events come faster than they can be applied.
        ChangeUnderWay: another process changes the generations, and goes on.
    """
    with changing(settings):
        candidate = existing(settings, name)
        if BankRegistry(candidate.data_dir).current() is None:
            raise SettingsError(
                f"there is nothing in the generation {name!r}: lookstream replay --into {name}"
            )
        on_step("prepare")
        previous = prepare_previous(settings)
        async with AsyncExitStack() as stack:
            collection, banks = open_catalog(candidate)
            stack.callback(collection.close)
            follower = None
            if encoder is not None:
                _check_encoder(collection, encoder, name)
                group = replay_group(settings, candidate)
                opening = open_follower(settings, candidate, encoder, group)
                follower = await stack.enter_async_context(opening)
            collection.flush()
            BankRegistry(settings.data_dir).copy_from(banks, collection.bank.version)
            on_step("note")
            _note(settings, candidate, collection, previous)
            promoted = await _at_the_gate(settings, candidate, collection, follower, on_step)
        on_step("tidy")
        _finish(settings, candidate, on_step)
    return promoted


async def _at_the_gate(
    settings: Settings,
    candidate: Settings,
    collection: Collection,
    follower: Follower | None,
    on_step: Step,
) -> Promoted:
    """Close the gate with the candidate up to date, and move the alias."""
    gate, caught_up = WriteGate(settings.data_dir), 0
    for patience_s in PATIENCE_S:
        on_step("catch up")
        if follower:
            caught_up += await follower.catch_up()
            follower.warm()
        on_step("close")
        began = time.monotonic()
        try:
            with gate.closed():
                on_step("catch up at the gate")
                if follower:
                    caught_up += await follower.catch_up(patience_s)
                # First, since query workers that find another model look for its encoder.
                on_step("encoder")
                hand_over(candidate.data_dir, settings)
                on_step("alias")
                registry = BankRegistry(settings.data_dir)
                promote_collection(collection, settings.milvus.collection, registry)
                on_step("open")
            return Promoted(caught_up, time.monotonic() - began)
        except TimeoutError:
            log.info("the last events take long: the switch is tried again", after_s=patience_s)
    raise SettingsError(
        "not promoted: events come faster than they can be applied to this generation. Run the "
        "command again when fewer come; the live index stays"
    )


def settle(settings: Settings) -> list[str]:
    """Complete or take back what a command that died has left; nothing while another is at it.

    Returns:
        The names of the generations that have gone live by it.
    """
    if not folders(settings):
        return []
    with suppress(ChangeUnderWay), changing(settings, patience_s=0) as completed:
        return completed
    return []


def interrupted(settings: Settings) -> bool:
    """Whether a promotion has begun and not ended; Milvus is not asked."""
    return any((folder / SWITCH).exists() for folder in folders(settings))


@contextmanager
def changing(settings: Settings, patience_s: float = CHANGE_PATIENCE_S) -> Iterator[list[str]]:
    """While inside, nobody else changes the generations; what was left behind is settled first.

    Yields the names of those that have gone live by that.

    Raises:
        ChangeUnderWay: another process does, for `patience_s` seconds.
    """
    with one_change(settings.data_dir, patience_s):
        yield _settle(settings)


def repartition_live(
    settings: Settings,
    make_bank: Callable[[Collection, BankRegistry], PrototypeBank | None],
    *,
    prototypes: int | None = None,
    on_progress: Callable[[int, int], None] = lambda rows, total: None,
) -> Bank:
    """Assign the live catalog's items to other prototypes while workers write and search.

    What was live is the generation `previous` then.

    Args:
        settings: of the live catalog.
        make_bank: makes the bank; None: it is built from the items.
        prototypes: how many to build; by default to fit.
        on_progress: called with the rows copied so far, and how many there are.

    Returns:
        The bank that the items are assigned by.

    Raises:
        ChangeUnderWay: another process changes the generations, and goes on.
    """
    with changing(settings):
        collection, registry = open_catalog(settings)
        bank = make_bank(collection, registry)
        previous, items = prepare_previous(settings), collection.count()
        successor = repartition(
            collection,
            registry,
            bank=bank,
            prototypes=prototypes,
            writer=OtherWriters(collection, WriteGate(settings.data_dir)),
            keep=True,
            on_progress=lambda rows: on_progress(rows, items),
        )
        with successor:
            if previous and successor is collection:  # it had that bank already
                remove(settings, previous)
            elif previous:
                drop_older(settings, previous.data_dir.name)
            return successor.bank


def prepare_previous(settings: Settings) -> Settings | None:
    """Make what is live now ready to be the generation `previous`; None if nothing is live.

    It is one as soon as the live alias points elsewhere, and complete before.
    """
    if BankRegistry(settings.data_dir).current() is None:
        return None
    collection, banks = open_catalog(settings)
    with collection:
        if not collection.exists():
            return None
        previous = settings_in(settings, new_folder(settings, PREVIOUS))
        registry = BankRegistry(previous.data_dir)
        registry.copy_from(banks, collection.bank.version)
        registry.make_current(collection.bank.version)
        note_collection(previous.data_dir, collection.generation)
        keep_choice(settings, previous.data_dir)
        # What is committed was written to it; what came later is replayed if it is live again.
        copy_positions(
            kafka_of(settings),
            catalog_topics(settings),
            of=settings.group("ingest"),
            to=replay_group(settings, previous),
        )
        collection.add_alias(previous.milvus.collection)
    return previous


def drop_older(settings: Settings, *kept: str) -> None:
    """Drop all that were live before but those in these folders."""
    for folder in folders(settings, PREVIOUS):
        if folder.name not in kept:
            remove(settings, settings_in(settings, folder))


def _check_encoder(collection: Collection, encoder: CatalogEncoder, name: str) -> None:
    if collection.bank.model_id != encoder.model_id:
        raise SettingsError(
            f"the generation {name!r} was made with model {collection.bank.model_id!r}, and the "
            f"settings name {encoder.model_id!r}: set models as they were then"
        )


def _note(
    settings: Settings, candidate: Settings, collection: Collection, previous: Settings | None
) -> None:
    """Write down what is about to happen."""
    live = BankRegistry(settings.data_dir)
    current = live.current()
    switch = Switch(
        candidate=collection.generation,
        previous=previous.data_dir.name if previous else "",
        same_model=current is not None and live.get(current).model_id == collection.bank.model_id,
    )
    with replacing(candidate.data_dir / SWITCH) as draft:
        draft.write_bytes(msgspec.json.encode(switch))


def _settle(settings: Settings) -> list[str]:
    config, completed = milvus_config_of(settings), []
    for folder in folders(settings):
        if not (folder / SWITCH).exists():
            continue
        switch, candidate = _noted(folder), settings_in(settings, folder)
        live = generation_of(config, settings.milvus.collection)
        if live == switch.candidate or generation_of(config, switch.candidate) is None:
            _finish(settings, candidate)
            completed.append(name_of(folder))
        elif switch.previous:
            hand_over(folder.with_name(switch.previous), settings)
        (folder / SWITCH).unlink(missing_ok=True)
    live = generation_of(config, settings.milvus.collection)
    for folder in folders(settings, PREVIOUS):
        one = settings_in(settings, folder)
        if generation_behind(one) in (None, live):  # it did not come to the switch
            remove(settings, one)
    return completed


def _finish(settings: Settings, candidate: Settings, on_step: Step = lambda _step: None) -> None:
    """After the switch: evidence changes places, the candidate's folder and older ones go."""
    switch = _noted(candidate.data_dir)
    previous = candidate.data_dir.with_name(switch.previous) if switch.previous else None
    on_step("evidence")
    exchange_evidence(
        candidate,
        settings,
        None if previous is None else settings_in(settings, previous),
        same_model=switch.same_model,
    )
    on_step("drop older")
    drop_older(settings, switch.previous, candidate.data_dir.name)
    on_step("remove")
    remove(settings, candidate)


def _noted(folder: Path) -> Switch:
    return msgspec.json.decode((folder / SWITCH).read_bytes(), type=Switch)
