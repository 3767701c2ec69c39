"""Plays a case, and compares what came of it with what must."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from models.errors import HubError
from models.hub.resolve import local_folder
from tests.hub.cases import REPO, Case, Scene, Step, repository
from tests.servers.model_hub import ModelHub

CHUNK = 8192
UNSET = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE")


def problems(case: Case, hub: ModelHub, scratch: Path) -> list[str]:
    """What differs from what must come of a case; nothing if all is right.

    Args:
        case: what to play.
        hub: where; it is cleared first.
        scratch: an empty folder.
    """
    hub.clear()
    hub.repositories[REPO] = repository()
    cache = scratch / "cache"
    environment = {"HF_ENDPOINT": hub.url, "LOOKSTREAM_CACHE": str(cache)}
    scene, folder, wrong = Scene(hub, cache, environment), None, []
    for number, step in enumerate(case.steps, start=1):
        step.before(scene)
        asked = len(hub.asked)
        folder, problem = _play(step, scene)
        if problem:
            wrong.append(f"step {number}: {problem}")
        if not step.requests and len(hub.asked) > asked:
            wrong.append(f"step {number}: asked for {hub.asked[asked].path}")
        if step.resumes and "range" not in hub.asked[-1].headers:
            wrong.append(f"step {number}: fetched all anew")
    if case.weights is not None and folder is not None:
        weights = (folder / "model.safetensors").read_bytes()
        if weights != case.weights:
            wrong.append("the weights are not those of the hub")
    outside = [path for path in scratch.rglob("*") if cache not in (path, *path.parents)]
    return [*wrong, *_leaks(scene), *(f"written outside the cache: {path}" for path in outside)]


def _play(step: Step, scene: Scene) -> tuple[Path | None, str]:
    """The folder that came, and what is wrong with that."""
    try:
        folder = _attempt(step, scene)
    except HubError as error:
        return None, _wrong_with(error, step, scene)
    except Exception as error:  # whatever it is, a user would see a traceback
        return None, f"raised {type(error).__name__}: {error}"
    pickles = [path.name for path in folder.iterdir() if path.suffix in {".bin", ".onnx"}]
    if step.expected is not None:
        return folder, f"came, in spite of {step.expected}"
    return folder, f"fetched {pickles}" if pickles else ""


def _attempt(step: Step, scene: Scene) -> Path:
    variables = {name: value for name, value in os.environ.items() if name not in UNSET}
    with (
        patch.dict(os.environ, {**variables, **scene.environment}, clear=True),
        # What came of the last chunk is lost in a break; the usual chunk is larger than our files.
        patch("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", CHUNK),
        _room(scene.room),
    ):
        return local_folder(step.name, offline=step.offline, update=step.update)


def _wrong_with(error: HubError, step: Step, scene: Scene) -> str:
    if error.reason != step.expected:
        return f"{error.reason} instead of {step.expected}: {error}"
    secrets = [value for name, value in scene.environment.items() if name == "HF_TOKEN"]
    if any(secret in str(error) for secret in [*secrets, "signature"]):
        return f"a secret is in the message: {error}"
    if not re.search(step.says, str(error)):
        return f"the message does not say what to do: {error}"
    return ""


def _leaks(scene: Scene) -> Iterator[str]:
    """Tokens that went to another host than the hub."""
    for one in scene.hub.asked:
        if one.host != scene.hub.url and "authorization" in one.headers:
            yield f"the token went to {one.host}"


@contextmanager
def _room(limit: int | None) -> Iterator[None]:
    """Let files have so many bytes and no more, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
