"""Which encoders there are: packaged, known by a word, and fetched by another name."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

from safetensors import safe_open

from models.backbone.exported import read_card
from models.backbone.spec import BACKBONES, NETWORK
from models.hub.lock import LOCK, Lock, find_snapshot, hub_folder, read_lock
from models.hub.names import HF, Source
from models.hub.presets import PRESETS, Preset
from models.weights import WEIGHTS

PACKAGED_LICENCE = "apache-2.0"


@dataclass(frozen=True)
class Entry:
    """An encoder to choose.

    Attributes:
        name: what `models.backbone` takes.
        kind: "two-tower" for pictures and texts, "vision" for pictures, "mllm" for a
            vision-language model.
        licence: of the weights.
        gated: whether the licence has to be accepted on the hub first.
        parameters, picture_parameters: of all of it, and of what encodes a picture; None where
            that is not known.
        megabytes: on disk; of what is not here, of its weights.
        dim: length of the network's own vectors; None where that is not known.
        size: side of the input, in pixels.
        languages: of texts.
        revision: the commit; "" of what is packaged.
        trust: "packaged" with Lookstream, "pinned" commit, or that of the "first use".
        here: whether it is on this machine.
        note: what else to know.
    """

    name: str
    kind: Literal["two-tower", "vision", "mllm", ""]
    licence: str
    gated: bool
    parameters: int | None
    picture_parameters: int | None
    megabytes: float
    dim: int | None
    size: int | None
    languages: str
    revision: str
    trust: Literal["packaged", "pinned", "first use"]
    here: bool
    note: str = ""


def inventory() -> list[Entry]:
    """All encoders: packaged ones, presets, and what else was fetched. Raises HubError."""
    packaged = [_packaged(name) for name in BACKBONES]
    presets = [_of_preset(preset) for preset in PRESETS.values()]
    return [*packaged, *presets, *_others()]


def _packaged(name: str) -> Entry:
    folder = WEIGHTS / name
    with safe_open(folder / NETWORK, framework="numpy") as file:
        shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118
    parameters = sum(map(prod, shapes))
    return Entry(
        name=name,
        kind="vision",
        licence=PACKAGED_LICENCE,
        gated=False,
        parameters=parameters,
        picture_parameters=parameters,
        megabytes=_megabytes(folder),
        dim=read_card(folder).widths[-1],
        size=BACKBONES[name].size,
        languages="",
        revision="",
        trust="packaged",
        here=True,
    )


def _of_preset(preset: Preset) -> Entry:
    found = find_snapshot(Source(preset.name, preset.repo, preset.revision, preset))
    return Entry(
        name=preset.name,
        kind=preset.kind,
        licence=preset.licence,
        gated=preset.gated,
        parameters=preset.parameters,
        picture_parameters=preset.picture_parameters,
        megabytes=_megabytes(found[0]) if found else preset.parameters * preset.bytes_each / 1e6,
        dim=preset.dim,
        size=preset.size,
        languages=preset.languages,
        revision=preset.revision,
        trust="pinned",
        here=found is not None,
        note=preset.note,
    )


def _others() -> list[Entry]:
    """What was fetched by another name than that of a preset."""
    known = {(preset.repo, preset.revision) for preset in PRESETS.values()}
    return [
        entry
        for path in sorted(hub_folder().glob(f"*/{LOCK}"))
        for entry in _of_lock(read_lock(path.parent.name.replace("--", "/")))
        if (entry.name.removeprefix(HF).partition("@")[0], entry.revision) not in known
    ]


def _of_lock(lock: Lock) -> list[Entry]:
    names = {commit: (commit, False) for commit in lock.snapshots}
    names |= {commit: (branch, True) for branch, commit in lock.branches.items()}
    return [
        Entry(
            name=f"{HF}{lock.repo}@{revision}",
            kind="",
            licence=lock.snapshots[commit].licence,
            gated=False,
            parameters=None,
            picture_parameters=None,
            megabytes=sum(one.size for one in lock.snapshots[commit].files.values()) / 1e6,
            dim=None,
            size=None,
            languages="",
            revision=commit,
            trust="first use" if branch else "pinned",
            here=find_snapshot(Source("", lock.repo, revision)) is not None,
        )
        for commit, (revision, branch) in names.items()
        if commit in lock.snapshots
    ]


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
