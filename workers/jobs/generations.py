"""Catalogs beside the live one: where they are, and how they are begun, found and dropped.

A generation is a catalog like any other, under a collection name and in a folder of its own, so
that everything that works on the live catalog works on it: only the settings differ. The folder,
`data_dir/generations/NAME-TAG`, holds its prototype banks, which encoder made it, and what was made
of its own evidence; the random tag, also in the collection's name, keeps it apart from an earlier
generation of that name. How one becomes the live one: `workers.jobs.promotion`. The one that was
live before that is the generation `previous`.
"""

from __future__ import annotations

import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from index.lifecycle.locks import one_change
from index.lifecycle.promote import generation_of
from index.prototypes.registry import BankRegistry
from workers.catalog_index import open_catalog
from workers.config.chosen_encoder import choose, chosen_in, keep_choice, models_of
from workers.config.settings import Settings
from workers.config.wiring import milvus_config_of
from workers.errors import SettingsError

NAME = re.compile(r"[A-Za-z0-9]{1,24}")
PREVIOUS = "previous"
CHANGE_PATIENCE_S = 600.0
"""How long a command waits for another process that changes the generations: the ingest worker may
be building prototypes just then."""
COLLECTION = "collection"
"""The file with the collection of a generation that was live before: it is not named after it."""


@dataclass(frozen=True)
class Generation:
    """A catalog separate from the live one, as `list_generations` finds it."""

    name: str
    items: int
    model_id: str
    bank_version: str


def begin(settings: Settings, name: str, backbone: str | None = None) -> Settings:
    """The settings for a generation, which is begun if there is none of that name.

    Args:
        settings: of the live catalog.
        name: of the generation.
        backbone: of its encoder, in place of that of the live catalog.

    Raises:
        SettingsError: the name is not 1 to 24 letters and digits, or `previous`.
    """
    if not NAME.fullmatch(name):
        raise SettingsError(f"{name!r} names no generation: use 1 to 24 letters and digits")
    if name == PREVIOUS:
        raise SettingsError(f"{PREVIOUS!r} is what was live before: take another name")
    if (folder := _find(settings, name)) is None:
        folder = new_folder(settings, name)
        keep_choice(settings, folder)
    if backbone is not None:
        choose(folder, settings.models, backbone)
    return settings_in(settings, folder)


def existing(settings: Settings, name: str) -> Settings:
    """The settings for a generation.

    Raises:
        SettingsError: it was never begun.
    """
    if (found := lookup(settings, name)) is None:
        why = "nothing was promoted yet, or it was dropped" if name == PREVIOUS else "look what is"
        raise SettingsError(
            f"there is no generation {name!r}: {why} (`lookstream generations list`)"
        )
    return found


def lookup(settings: Settings, name: str) -> Settings | None:
    """The settings for a generation, None if there is none of that name."""
    folder = _find(settings, name)
    return None if folder is None else settings_in(settings, folder)


def list_generations(settings: Settings) -> list[Generation]:
    """The generations that were begun, by name."""
    live = generation_of(milvus_config_of(settings), settings.milvus.collection)
    found = []
    for folder in folders(settings):
        one = settings_in(settings, folder)
        if live is None or generation_behind(one) != live:
            found.append(describe(one, name_of(folder)))
    return found


def describe(candidate: Settings, name: str) -> Generation:
    """What is in a generation, given the settings for it."""
    if BankRegistry(candidate.data_dir).current() is None:
        return Generation(name, 0, "", "")
    collection, _ = open_catalog(candidate)
    with collection:
        bank = collection.bank
        return Generation(name, collection.count(), bank.model_id, bank.version)


def drop(settings: Settings, name: str) -> None:
    """Drop a generation and all its rows.

    Raises:
        SettingsError: there is no such generation.
        ChangeUnderWay: another process changes the generations, and goes on.
    """
    with one_change(settings.data_dir, CHANGE_PATIENCE_S):
        remove(settings, existing(settings, name))


def replay_group(settings: Settings, candidate: Settings) -> str:
    """The consumer group whose offsets say how far a generation was replayed."""
    return f"{settings.kafka.prefix}-replay-{candidate.data_dir.name}"


# For those who switch generations.


def folders(settings: Settings, name: str = "[A-Za-z0-9]*") -> list[Path]:
    """The folders of all generations, or of those of a name."""
    return sorted((settings.data_dir / "generations").glob(f"{name}-*"))


def new_folder(settings: Settings, name: str) -> Path:
    """A new folder for a generation."""
    folder = settings.data_dir / "generations" / f"{name}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    return folder


def name_of(folder: Path) -> str:
    """The name of the generation in a folder."""
    return folder.name.partition("-")[0]


def settings_in(settings: Settings, folder: Path) -> Settings:
    """The settings for the generation in a folder."""
    collection = f"{settings.milvus.collection}_gen_{folder.name.replace('-', '_')}"
    models = chosen_in(folder, settings.models) or models_of(settings)
    return settings.separate(folder, collection, models)


def generation_behind(one: Settings) -> str | None:
    """The collection that holds a catalog's rows; None before there is one."""
    return generation_of(milvus_config_of(one), one.milvus.collection)


def note_collection(folder: Path, generation: str) -> None:
    """Write down which collection is that of the generation in a folder."""
    (folder / COLLECTION).write_text(generation)


def remove(settings: Settings, one: Settings) -> None:
    """Remove a generation, and its rows unless they are the live ones; again after a crash."""
    live = generation_of(milvus_config_of(settings), settings.milvus.collection)
    if BankRegistry(one.data_dir).current() is not None:
        noted = one.data_dir / COLLECTION
        names = {generation_behind(one), noted.read_text() if noted.exists() else None}
        collection, _ = open_catalog(one)
        with collection:
            collection.drop_alias(one.milvus.collection)
            for name in sorted({*collection.generations(), *names} - {None, live}, key=str):
                if generation_of(milvus_config_of(one), str(name)) is not None:
                    collection.drop(str(name))
    shutil.rmtree(one.data_dir)


def _find(settings: Settings, name: str) -> Path | None:
    if not NAME.fullmatch(name):
        return None
    return next(iter(folders(settings, name)), None)
