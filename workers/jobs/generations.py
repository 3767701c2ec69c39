"""Catalogs built beside the live one: where each lives, and how one becomes the live one.

A generation is a catalog like any other, under a collection name and in a folder of its own, so
that everything that works on the live catalog works on it: only the settings differ. The folder,
`data_dir/generations/NAME-TAG`, holds its prototype banks; the random tag, also in the collection's
name, keeps it apart from an earlier generation of that name whose rows are live by now.
"""

from __future__ import annotations

import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from index.lifecycle.promote import alias_of
from index.lifecycle.promote import promote as promote_collection
from index.prototypes.registry import BankRegistry
from stream.errors import BrokerError
from workers.catalog_index import open_catalog
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, milvus_config_of
from workers.deploy.supervisor import listening
from workers.errors import SettingsError

NAME = re.compile(r"[A-Za-z0-9]{1,24}")


@dataclass(frozen=True)
class Generation:
    """A catalog beside the live one, as `list_generations` finds it."""

    name: str
    items: int
    model_id: str
    bank_version: str


def begin(settings: Settings, name: str) -> Settings:
    """The settings under which a generation is the catalog; begins it if there is none.

    Raises:
        SettingsError: the name is not 1 to 24 letters and digits.
    """
    if not NAME.fullmatch(name):
        raise SettingsError(f"{name!r} names no generation: use 1 to 24 letters and digits")
    folder = _find(settings, name) or _folder(settings) / f"{name}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    return _settings_in(settings, folder)


def existing(settings: Settings, name: str) -> Settings:
    """The settings under which a generation is the catalog.

    Raises:
        SettingsError: it was never begun.
    """
    folder = _find(settings, name) if NAME.fullmatch(name) else None
    if folder is None:
        raise SettingsError(f"there is no generation {name!r}: see `lookstream generations list`")
    return _settings_in(settings, folder)


def list_generations(settings: Settings) -> list[Generation]:
    """The generations that were begun, by name."""
    found = []
    for folder in sorted(_folder(settings).glob("[A-Za-z0-9]*-*")):
        name, beside = folder.name.partition("-")[0], _settings_in(settings, folder)
        if BankRegistry(beside.data_dir).current() is None:
            found.append(Generation(name, 0, "", ""))
            continue
        collection, _ = open_catalog(beside)
        with collection:
            bank = collection.bank
            found.append(Generation(name, collection.count(), bank.model_id, bank.version))
    return found


def promote(settings: Settings, name: str) -> None:
    """Make a generation the live catalog, and drop what was live.

    Raises:
        SettingsError: there is no such generation, nothing is in it, or the ingest worker runs.
    """
    check_no_ingest(settings)
    folder = existing(settings, name).data_dir
    # From here on nobody can go on with it: its rows may be the live ones.
    leaving = folder.rename(folder.with_name(f".{folder.name}"))
    try:
        beside = _settings_in(settings, folder).model_copy(update={"data_dir": leaving})
        collection, _ = open_catalog(beside)
        with collection:
            promote_collection(
                collection, settings.milvus.collection, BankRegistry(settings.data_dir)
            )
    except Exception:
        leaving.rename(folder)
        raise
    shutil.rmtree(leaving)


def drop(settings: Settings, name: str) -> None:
    """Drop a generation and all its rows.

    Raises:
        SettingsError: there is no such generation.
    """
    beside = existing(settings, name)
    if BankRegistry(beside.data_dir).current() is not None:
        collection, _ = open_catalog(beside)
        with collection:
            collection.drop_all()
    shutil.rmtree(beside.data_dir)


def replay_group(settings: Settings, beside: Settings) -> str:
    """The group in whose name a generation keeps how far it was replayed."""
    return f"{settings.kafka.prefix}-replay-{beside.data_dir.name}"


def check_no_ingest(settings: Settings) -> None:
    """Raise SettingsError while an ingest worker runs: what it writes now would be left behind.

    The embedded broker does not say who is in a group; there the worker's metrics port tells, on
    the one machine that such a deployment has.
    """
    group, port = settings.group("ingest"), settings.ingest.metrics_port
    admin = AdminClient(kafka_of(settings).confluent())
    try:
        members = admin.describe_consumer_groups([group])[group].result(10).members
    except KafkaException as error:
        raise BrokerError(f"cannot see who is in {group}: {error.args[0].str()}") from error
    if members or (port and listening(port)):
        raise SettingsError(
            f"an ingest worker runs ({f'in {group}' if members else f'at port {port}'}): stop it "
            "first, what it writes meanwhile would be left behind; searches go on"
        )


def _folder(settings: Settings) -> Path:
    return settings.data_dir / "generations"


def _find(settings: Settings, name: str) -> Path | None:
    folder = next(_folder(settings).glob(f"{name}-*"), None)
    if folder is None:
        return None
    beside = _settings_in(settings, folder)
    if alias_of(milvus_config_of(settings), settings.milvus.collection, beside.milvus.collection):
        # Milvus moved the name and its answer was lost: it is the live one, and nothing beside it.
        shutil.rmtree(folder)
        return None
    return folder


def _settings_in(settings: Settings, folder: Path) -> Settings:
    collection = f"{settings.milvus.collection}_gen_{folder.name.replace('-', '_')}"
    milvus = settings.milvus.model_copy(update={"collection": collection})
    return settings.model_copy(update={"data_dir": folder, "milvus": milvus})
