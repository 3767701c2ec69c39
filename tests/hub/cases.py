"""What happens between us and a hub, case by case, and what must come of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from models.hub.presets import PRESETS
from models.hub.reasons import Reason
from tests.servers.model_hub import ModelHub, Repository

REPO = "shop/encoder"
NAME = f"hf:{REPO}"
TOKEN = "hf_known"
ROOM = 100_000
"""Bytes that a file may have where the disk is full."""

CONFIG = b'{"model_type": "siglip"}'
WEIGHTS = save({"weight": np.arange(60_000, dtype=np.float32)})
OTHER_WEIGHTS = save({"weight": np.arange(60_000, dtype=np.float32)[::-1].copy()})
FILES = {
    "config.json": CONFIG,
    "preprocessor_config.json": b"{}",
    "README.md": b"# An encoder",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"\x80\x04a pickle, never to be fetched",
    "onnx/model.onnx": b"another copy",
}


@dataclass
class Scene:
    """Where a case happens: a hub, our cache and the environment of the process."""

    hub: ModelHub
    cache: Path
    environment: dict[str, str]
    room: int | None = None

    @property
    def repository(self) -> Repository:
        return self.hub.repositories[REPO]

    @property
    def fetched(self) -> Path:
        """Where the files of main are, once they were fetched."""
        return self.cache / "hub" / "shop--encoder" / self.repository.commit / "encoder"


@dataclass(frozen=True)
class Step:
    """One attempt to have the encoder.

    Attributes:
        resumes: whether the weights are gone on from.
        expected: why it must fail; None where a folder must come.
        before: what is changed first.
        name: what is asked for.
        offline, update: as in `models.hub.resolve.local_folder`.
        says: a pattern of the error's message: the next step for the user.
        requests: whether the hub may be asked at all.
    """

    expected: Reason | None = None
    before: Callable[[Scene], object] = lambda scene: None
    name: str = NAME
    offline: bool = False
    update: bool = False
    says: str = ""
    requests: bool = True
    resumes: bool = False


@dataclass(frozen=True)
class Case:
    """Steps, one after the other, on a new hub and an empty cache; `weights` come in the end."""

    name: str
    steps: tuple[Step, ...]
    weights: bytes | None = None


def repository() -> Repository:
    """A repository with nothing wrong."""
    return Repository(dict(FILES))


def _set(**variables: str) -> Callable[[Scene], object]:
    return lambda scene: scene.environment.update(variables)


def _break_off(scene: Scene, *cuts: int) -> None:
    scene.hub.cuts["model.safetensors"] = list(cuts)


def _serve_other_bytes(scene: Scene) -> None:
    scene.hub.swaps["model.safetensors"] = OTHER_WEIGHTS


def _serve_other_config(scene: Scene) -> None:
    scene.hub.swaps["config.json"] = CONFIG.replace(b"siglip", b"shadow")


def _heal(scene: Scene) -> None:
    scene.hub.swaps.clear()
    scene.room = None


def _unplug(scene: Scene) -> None:
    scene.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"


def _change_on_disk(scene: Scene) -> None:
    path = scene.fetched / "model.safetensors"
    path.write_bytes(OTHER_WEIGHTS)
    os.utime(path, ns=(0, 0))


def _touch(scene: Scene) -> None:
    os.utime(scene.fetched / "model.safetensors", ns=(0, 0))


def _lose_and_rewrite(scene: Scene) -> None:
    """The weights are lost here, and the hub has others under the same commit."""
    (scene.fetched / "model.safetensors").unlink()
    scene.repository.files["model.safetensors"] = OTHER_WEIGHTS


def _push(scene: Scene) -> None:
    scene.repository.push("b" * 40, {**FILES, "model.safetensors": OTHER_WEIGHTS})


def _only_pickles(scene: Scene) -> None:
    del scene.repository.files["model.safetensors"]


def _no_weights(scene: Scene) -> None:
    scene.repository.files = {"config.json": CONFIG, "README.md": b""}


def _no_config(scene: Scene) -> None:
    del scene.repository.files["config.json"]


def _list(*names: str) -> Callable[[Scene], object]:
    return lambda scene: setattr(scene.repository, "listed", names)


def _missing_shard(scene: Scene) -> None:
    del scene.repository.files["model.safetensors"]
    scene.repository.files["model-00001-of-00002.safetensors"] = WEIGHTS
    scene.repository.files["model.safetensors.index.json"] = (
        b'{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "../b.safetensors"}}'
    )


def _gate(scene: Scene) -> None:
    scene.repository.gated = True
    scene.hub.known.add(TOKEN)


def _grant(scene: Scene) -> None:
    scene.hub.granted.add(TOKEN)


def _fill_the_disk(scene: Scene) -> None:
    scene.room = ROOM


def _no_folder(scene: Scene) -> None:
    scene.cache.mkdir(parents=True)
    (scene.cache / "hub").write_bytes(b"")


def _preset_with_other_bytes(scene: Scene) -> None:
    preset = PRESETS["siglip2-base"]
    scene.hub.repositories[preset.repo] = replace(repository(), commit=preset.revision)


GOOD = Step()
CASES = [
    Case("a good download", (GOOD,), WEIGHTS),
    Case("a commit", (Step(name=f"{NAME}@{'a' * 40}"),), WEIGHTS),
    Case("a second time, without network", (GOOD, Step(before=_unplug, requests=False)), WEIGHTS),
    Case("a second time, offline", (GOOD, Step(offline=True, requests=False)), WEIGHTS),
    Case("touched, not changed", (GOOD, Step(before=_touch, requests=False)), WEIGHTS),
    Case("the branch moved on, and we stay", (GOOD, Step(before=_push, requests=False)), WEIGHTS),
    Case("the branch moved on, and we follow", (GOOD, Step(before=_push, update=True))),
    Case(
        "an update without network",
        (GOOD, Step(Reason.NETWORK, before=_unplug, update=True), Step(requests=False)),
        WEIGHTS,
    ),
    Case(
        "a break in one run",
        (Step(before=lambda scene: _break_off(scene, 50_000, 60_000), resumes=True),),
        WEIGHTS,
    ),
    Case(
        "a break, and resumed later",
        (
            Step(
                Reason.BROKEN_OFF,
                before=lambda scene: _break_off(scene, 50_000, 0),
                says="models fetch hf:shop/encoder",
            ),
            Step(resumes=True),
        ),
        WEIGHTS,
    ),
    Case(
        "other bytes than the hub's hash",
        (
            Step(Reason.CHANGED, before=_serve_other_bytes, says="deleted: run"),
            Step(before=_heal),
        ),
        WEIGHTS,
    ),
    Case(
        "another configuration than the hub's hash",
        (Step(Reason.CHANGED, before=_serve_other_config, says="config.json"),),
    ),
    Case(
        "other bytes than our pinned hash",
        (
            Step(
                Reason.CHANGED,
                before=_preset_with_other_bytes,
                name="siglip2-base",
                says="our pinned hash",
            ),
        ),
    ),
    Case(
        "other bytes under the same commit",
        (GOOD, Step(Reason.CHANGED, before=_lose_and_rewrite, says="the earlier hash")),
    ),
    Case(
        "changed on disk",
        (GOOD, Step(Reason.CHANGED, before=_change_on_disk, says="delete .*models fetch")),
    ),
    Case("pickles only", (Step(Reason.PICKLE, before=_only_pickles, says="safetensors"),)),
    Case("no weights", (Step(Reason.CONTENT, before=_no_weights, says="models list"),)),
    Case("no configuration", (Step(Reason.CONTENT, before=_no_config, says="config.json"),)),
    Case("a shard is missing", (Step(Reason.CONTENT, before=_missing_shard, says="revision"),)),
    Case(
        "a listed file is missing",
        (Step(Reason.CONTENT, before=_list("tokenizer.json"), says="another revision"),),
    ),
    Case(
        "gated, without a token",
        (Step(Reason.GATED, before=_gate, says="accept its licence at http.*HF_TOKEN"),),
    ),
    Case(
        "gated, not accepted, then accepted",
        (
            Step(Reason.GATED, before=_gate),
            Step(Reason.GATED, before=_set(HF_TOKEN=TOKEN), says="accept the licence at http"),
            Step(before=_grant),
        ),
        WEIGHTS,
    ),
    Case(
        "a wrong token",
        (Step(Reason.ACCOUNT, before=_set(HF_TOKEN="hf_wrong"), says="settings/tokens"),),
    ),
    Case("no repository", (Step(Reason.REPOSITORY, name="hf:shop/none", says="check the name"),)),
    Case("no revision", (Step(Reason.REVISION, name=f"{NAME}@v9", says="commits"),)),
    Case("no commit", (Step(Reason.REVISION, name=f"{NAME}@{'f' * 40}", says="commits"),)),
    Case("no network", (Step(Reason.NETWORK, before=_unplug, says="check the network"),)),
    Case("offline by setting", (Step(Reason.OFFLINE, offline=True, says="copy", requests=False),)),
    Case(
        "offline by environment",
        (
            Step(
                Reason.OFFLINE,
                before=_set(HF_HUB_OFFLINE="1"),
                says="HF_HUB_OFFLINE",
                requests=False,
            ),
        ),
    ),
    Case(
        "the disk is full, then not",
        (
            Step(Reason.DISK, before=_fill_the_disk, says="LOOKSTREAM_CACHE"),
            Step(before=_heal),
        ),
        WEIGHTS,
    ),
    Case(
        "the cache is no folder", (Step(Reason.DISK, before=_no_folder, says="LOOKSTREAM_CACHE"),)
    ),
    *(
        Case(f"a file called {name!r}", (Step(Reason.FILE_NAME, before=_list(name)),))
        for name in (
            "../escape.json",
            "/etc/cron.d/x",
            "a/../../config.json",
            "..\\x",
            "C:/x",
            "a\nb",
        )
    ),
    *(
        Case(
            f"the name {name!r}",
            (Step(Reason.NAME, name=name, says="use|add|no ", requests=False),),
        )
        for name in (
            "siglip3",
            "hf:encoder",
            "hf:../encoder",
            "hf:shop/../../etc",
            "hf:shop/encoder@../main",
            "timm:resnet50",
            "timm:a/b.c",
            "",
        )
    ),
    Case(
        "the hub is down",
        (
            Step(
                Reason.SERVER, before=lambda scene: setattr(scene.hub, "status", 503), says="later"
            ),
        ),
    ),
    Case(
        "no hub at all",
        (
            Step(
                Reason.SERVER,
                before=lambda scene: setattr(scene.hub, "status", 418),
                says="answered",
            ),
        ),
    ),
]
