"""From the name of an encoder to the folder with its files."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from models.errors import HubError
from models.hub.lock import find_snapshot, hub_folder
from models.hub.names import Source, is_hub_name, plain_name, source_of
from models.hub.reasons import Reason
from models.progress import Phases, no_phases

_YES = {"1", "ON", "YES", "TRUE"}


def local_folder(
    name: str, *, progress: Phases | None = None, offline: bool = False, update: bool = False
) -> Path:
    """The folder of an encoder, which is fetched if it is not here.

    It holds config.json (open_clip_config.json in a repository of open_clip) and the weights as
    ``*.safetensors``, and what the repository has of preprocessor_config.json and of the
    tokenizer's files. What was fetched before is found without asking any network.

    Args:
        name: a preset (`models.hub.presets.PRESETS`), ``hf:OWNER/NAME[@REVISION]``, ``timm:NAME``,
            or a folder, which comes back as it is; with a variant behind it or without. A
            preset is meant where a folder has its name; write ``./NAME`` for the folder.
        progress: told of kB done.
        offline: fetch nothing; so does HF_HUB_OFFLINE.
        update: ask the hub what a branch stands for now; a pinned revision stays.

    Raises:
        HubError: its ``reason`` is a `models.hub.reasons.Reason`, its message says what to do.
    """
    if _is_folder(name):
        return Path(plain_name(name))
    source = source_of(name)
    update = update and not source.pinned
    if not update and (found := find_snapshot(source)):
        return found[0]
    _check_allowed(source, offline=offline)
    # By name: serving an encoder that is here needs no hub.
    download = import_module("models.hub.download")
    folder: Path = download.fetch(source, progress or no_phases, update=update)
    return folder


def find_folder(name: str) -> Path | None:
    """The folder of an encoder if it is here; nothing is fetched. Raises HubError."""
    if _is_folder(name):
        return Path(plain_name(name))
    found = find_snapshot(source_of(name))
    return found[0] if found else None


def hub_is_off() -> bool:
    """Whether HF_HUB_OFFLINE says that nothing may be fetched."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in _YES


def _is_folder(name: str) -> bool:
    return bool(name) and not is_hub_name(name) and Path(plain_name(name)).is_dir()


def _check_allowed(source: Source, *, offline: bool) -> None:
    """Whether something may and can be fetched here."""
    if offline or hub_is_off():
        why = "models.offline" if offline else "HF_HUB_OFFLINE"
        raise HubError(
            Reason.OFFLINE,
            f"{source.name} is not in {hub_folder()}, and {why} forbids to fetch it: run "
            f"`lookstream models fetch {source.name}` on a machine with the internet and copy its "
            f"{hub_folder()} here, or allow it",
        )
    if find_spec("huggingface_hub") is None:
        raise HubError(
            Reason.EXTRA,
            f"{source.name} is not in {hub_folder()}, and to fetch it needs huggingface_hub: run "
            "`pip install 'lookstream[hub]'`",
        )
