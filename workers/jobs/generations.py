"""Catalogs built separately from the live one: where they are, and how one becomes the live one.

A generation is a catalog like any other, under a collection name and in a folder of its own, so
that everything that works on the live catalog works on it: only the settings differ. The folder,
`data_dir/generations/NAME-TAG`, holds its prototype banks and what was made of its own evidence;
the random tag, also in the collection's name, keeps it apart from an earlier generation of that
name whose rows are live by now.

An interrupted promotion is completed by the next command that names the generation: its folder has
the name of the generation that it was to replace, and the alias shows whether it did.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from index.lifecycle.promote import drop_remains, is_live, live_generation
from index.lifecycle.promote import promote as promote_collection
from index.milvus.mirror import delete_mirror
from index.prototypes.registry import BankRegistry
from stream.errors import BrokerError
from workers.catalog_index import open_catalog
from workers.config.chosen_encoder import choose, chosen_in, hand_over, models_of
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, milvus_config_of
from workers.deploy.ingest_pause import paused_ingest
from workers.deploy.run_lock import NAME as RUN_LOCK
from workers.deploy.run_lock import is_locked
from workers.deploy.supervisor import listening
from workers.errors import SettingsError
from workers.evidence.sample import move_evidence

NAME = re.compile(r"[A-Za-z0-9]{1,24}")
REPLACED = "replaces"
"""The file in a generation's folder with the name of the one to drop once this is live."""


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
        SettingsError: the name is not 1 to 24 letters and digits.
    """
    if not NAME.fullmatch(name):
        raise SettingsError(f"{name!r} names no generation: use 1 to 24 letters and digits")
    finish_promotion(settings, name)
    folder = _find(settings, name) or _folder(settings) / f"{name}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    if backbone is not None:
        choose(folder, settings.models, backbone)
    return _settings_in(settings, folder)


def existing(settings: Settings, name: str) -> Settings:
    """The settings for a generation.

    Raises:
        SettingsError: it was never begun.
    """
    finish_promotion(settings, name)
    if (found := lookup(settings, name)) is None:
        raise SettingsError(f"there is no generation {name!r}: see `lookstream generations list`")
    return found


def lookup(settings: Settings, name: str) -> Settings | None:
    """The settings for a generation, None if there is none of that name."""
    folder = _find(settings, name)
    return None if folder is None else _settings_in(settings, folder)


def list_generations(settings: Settings) -> list[Generation]:
    """The generations that were begun, by name."""
    found = []
    for folder in sorted(_folder(settings).glob("[A-Za-z0-9]*-*")):
        name = folder.name.partition("-")[0]
        found.append(describe(_settings_in(settings, folder), name))
    return found


def describe(candidate: Settings, name: str) -> Generation:
    """What is in a generation, given the settings for it."""
    if BankRegistry(candidate.data_dir).current() is None:
        return Generation(name, 0, "", "")
    collection, _ = open_catalog(candidate)
    with collection:
        bank = collection.bank
        return Generation(name, collection.count(), bank.model_id, bank.version)


def promote(settings: Settings, name: str) -> None:
    """Make a generation the live catalog, and drop what was live.

    Raises:
        SettingsError: there is no such generation, nothing is in it, or the ingest worker runs.
    """
    check_no_ingest(settings)
    candidate = existing(settings, name)
    folder, live = candidate.data_dir, settings.milvus.collection
    if BankRegistry(folder).current() is None:
        raise SettingsError(
            f"there is nothing in the generation {name!r}: lookstream replay --into {name}"
        )
    replaced = live_generation(milvus_config_of(settings), live)
    (folder / REPLACED).write_text(replaced or "")
    collection, banks = open_catalog(candidate)
    registry = BankRegistry(settings.data_dir)
    registry.copy_from(banks, collection.bank.version)
    with collection:
        collection.copy_mirror(settings.mirror_dir)
        # Before the alias moves: query workers that find another model there look for its encoder.
        hand_over(folder, settings)
        promote_collection(collection, live, registry)
    if replaced is not None:
        delete_mirror(settings.mirror_dir, replaced)
    move_evidence(candidate, settings)
    shutil.rmtree(folder)


def finish_promotion(settings: Settings, name: str) -> bool:
    """Complete a promotion that was interrupted after it went live; whether there was one."""
    candidate = lookup(settings, name)
    if candidate is None:
        return False
    config, live = milvus_config_of(settings), settings.milvus.collection
    own = candidate.milvus.collection
    if not is_live(config, live, own):
        return False
    drop_remains(config, live, own, _replaced(candidate.data_dir))
    hand_over(candidate.data_dir, settings)
    move_evidence(candidate, settings)
    shutil.rmtree(candidate.data_dir)
    return True


def drop(settings: Settings, name: str) -> None:
    """Drop a generation and all its rows.

    Raises:
        SettingsError: there is no such generation.
    """
    candidate = existing(settings, name)
    if BankRegistry(candidate.data_dir).current() is not None:
        collection, _ = open_catalog(candidate)
        with collection:
            collection.drop_all()
    shutil.rmtree(candidate.data_dir)


def replay_group(settings: Settings, candidate: Settings) -> str:
    """The consumer group whose offsets say how far a generation was replayed."""
    return f"{settings.kafka.prefix}-replay-{candidate.data_dir.name}"


@contextmanager
def no_ingest(settings: Settings) -> Iterator[None]:
    """While inside no ingest worker runs: that of `lookstream up` is paused, any other must be
    stopped before.

    Raises:
        SettingsError: one runs that this cannot pause.
    """
    if not is_locked(settings.data_dir / RUN_LOCK):
        check_no_ingest(settings)
        yield
        return
    with paused_ingest(settings.data_dir, lambda: ingest_running(settings)):
        yield


def check_no_ingest(settings: Settings) -> None:
    """Raise SettingsError while an ingest worker runs; see `ingest_running`."""
    if where := ingest_running(settings):
        raise SettingsError(
            f"an ingest worker runs ({where}): stop it first, what it writes meanwhile would be "
            "left behind; searches go on"
        )


def ingest_running(settings: Settings) -> str:
    """Where an ingest worker runs, in words; "" if none does.

    The embedded broker does not list the members of a group; there the worker is on this machine,
    and its metrics port is tested.

    Raises:
        BrokerError: Kafka does not answer.
    """
    group, port = settings.group("ingest"), settings.ingest.metrics_port
    admin = AdminClient(kafka_of(settings).confluent())
    try:
        members = admin.describe_consumer_groups([group])[group].result(10).members
    except KafkaException as error:
        raise BrokerError(f"cannot see who is in {group}: {error.args[0].str()}") from error
    if members:
        return f"in {group}"
    return f"at port {port}" if port and listening(port) else ""


def _folder(settings: Settings) -> Path:
    return settings.data_dir / "generations"


def _find(settings: Settings, name: str) -> Path | None:
    return next(_folder(settings).glob(f"{name}-*"), None) if NAME.fullmatch(name) else None


def _replaced(folder: Path) -> str:
    """The generation that was to be replaced; "" if there was none, or it is unknown."""
    try:
        return (folder / REPLACED).read_text()
    except FileNotFoundError:
        return ""


def _settings_in(settings: Settings, folder: Path) -> Settings:
    collection = f"{settings.milvus.collection}_gen_{folder.name.replace('-', '_')}"
    milvus = settings.milvus.model_copy(update={"collection": collection})
    models = chosen_in(folder, settings.models) or models_of(settings)
    return settings.model_copy(update={"data_dir": folder, "milvus": milvus, "models": models})
