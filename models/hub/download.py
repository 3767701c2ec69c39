"""Fetch a repository of a hub into a folder of ours. Needs huggingface_hub.

Weights come as safetensors alone, every file is hashed here and compared with what the hub says of
it, and a download that broke off goes on where it ended.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# One transport, HTTP with ranges: it goes on after a break, and it is the one that is tested.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

import httpx
from filelock import FileLock
from huggingface_hub import HfApi, ModelInfo, hf_hub_download
from huggingface_hub.hf_api import RepoSibling

from models.errors import HubError
from models.hub.contents import INDEX, check_index, wanted
from models.hub.errors import explain
from models.hub.lock import (
    LockedFile,
    Snapshot,
    find_snapshot,
    locked_file,
    read_lock,
    repo_folder,
    snapshot_folder,
    write_lock,
)
from models.hub.names import Source
from models.hub.reasons import Reason
from models.hub.silence import SILENCE
from models.progress import Phases, Progress, of_phase

HUGGING_FACE = "https://huggingface.co"
KB = 1000
TIMEOUT_S = 30.0
SLACK_BYTES = 50_000_000
"""Left free on the disk after a download."""


@dataclass(frozen=True)
class _Download:
    """What is being fetched, from where, and into which folder."""

    source: Source
    endpoint: str
    commit: str
    folder: Path


def fetch(source: Source, progress: Phases, *, update: bool = False) -> Path:
    """Fetch a source, and lock what came; its folder.

    Args:
        source: what to fetch.
        progress: told of kB done.
        update: resolve a branch anew though it was resolved before.

    Raises:
        HubError: see `models.hub.reasons`.
    """
    endpoint = (os.environ.get("HF_ENDPOINT") or HUGGING_FACE).rstrip("/")
    folder = repo_folder(source.repo)
    with SILENCE, _explained(source, endpoint, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            # Another process may have fetched it while this one waited.
            if not update and (found := find_snapshot(source)):
                return found[0]
            return _fetch(source, endpoint, progress)


def _fetch(source: Source, endpoint: str, progress: Phases) -> Path:
    info = HfApi(endpoint).model_info(
        source.repo, revision=source.revision, files_metadata=True, timeout=TIMEOUT_S
    )
    files = {one.rfilename: one for one in info.siblings or ()}
    names = wanted(source, files)
    commit = _commit_of(source, info)
    todo = _Download(source, endpoint, commit, snapshot_folder(source.repo, commit))
    todo.folder.mkdir(parents=True, exist_ok=True)
    sizes = [files[name].size or 0 for name in names]
    _check_room(todo, sum(sizes))
    show = of_phase(progress, f"fetching {source.name}, kB")
    locked = {}
    for number, name in enumerate(names):
        show(sum(sizes[:number]) // KB, max(1, sum(sizes) // KB))
        path = _download(todo, name, sum(sizes[:number]), sum(sizes), show)
        locked[name] = _checked(todo, path, files[name])
    if INDEX in names:
        check_index(source, (todo.folder / INDEX).read_bytes(), names)
    _lock(todo, _licence(info), locked)
    shutil.rmtree(todo.folder / ".cache", ignore_errors=True)  # of huggingface_hub, to go on from
    show(max(1, sum(sizes) // KB), max(1, sum(sizes) // KB))
    return todo.folder


def _download(todo: _Download, name: str, before: int, total: int, show: Progress) -> Path:
    """One file; a broken connection is taken up again as long as it brings something each time."""
    bar = _bar(lambda done: show(min(before + done, total) // KB, max(1, total // KB)))
    had = -1
    while True:
        try:
            return Path(
                hf_hub_download(
                    todo.source.repo,
                    name,
                    revision=todo.commit,
                    endpoint=todo.endpoint,
                    local_dir=todo.folder,
                    tqdm_class=bar,
                )
            )
        except (httpx.ReadError, httpx.RemoteProtocolError):
            came = sum(one.stat().st_size for one in todo.folder.rglob("*.incomplete"))
            if came <= had:
                raise
            had = came


def _checked(todo: _Download, path: Path, listed: RepoSibling) -> LockedFile:
    """What a file is, after comparing it with all that is known of it.

    A wrong one is deleted, to be fetched anew.
    """
    locked = locked_file(path)
    for whose, is_right in _comparisons(todo, path, listed, locked):
        if not is_right:
            path.unlink()
            raise HubError(
                Reason.CHANGED,
                f"{listed.rfilename} of {todo.source.repo} at {todo.commit[:12]} differs from "
                f"{whose} hash and was deleted: run `lookstream models fetch {todo.source.name}` "
                f"again; if it stays so, don't trust {todo.endpoint}",
            )
    return locked


def _comparisons(
    todo: _Download, path: Path, listed: RepoSibling, locked: LockedFile
) -> Iterator[tuple[str, bool]]:
    """Whose hash a file is compared with, and whether it is the same."""
    preset, name = todo.source.preset, listed.rfilename
    if listed.lfs is not None:
        yield "the hub's", listed.lfs.sha256 == locked.sha256
    elif listed.blob_id:
        yield "the hub's", listed.blob_id == _git_hash(path)
    if preset is not None and preset.sha256 is not None and name == preset.weights:
        yield "our pinned", preset.sha256 == locked.sha256
    earlier = read_lock(todo.source.repo).snapshots.get(todo.commit)
    if earlier is not None and name in earlier.files:
        yield "the earlier", earlier.files[name].sha256 == locked.sha256


def _lock(todo: _Download, licence: str, files: dict[str, LockedFile]) -> None:
    lock = read_lock(todo.source.repo)
    lock.snapshots[todo.commit] = Snapshot(
        licence, datetime.now(UTC).isoformat(timespec="seconds"), files
    )
    if not todo.source.pinned:
        lock.branches[todo.source.revision] = todo.commit
    write_lock(lock)


def _commit_of(source: Source, info: ModelInfo) -> str:
    """The commit that the hub gives for a revision."""
    commit = info.sha or ""
    if len(commit) != 40 or (source.pinned and commit != source.revision):
        raise HubError(
            Reason.CHANGED,
            f"the hub gives commit {commit[:12] or '(none)'} of {source.repo} for the revision "
            f"{source.revision[:12]}: check HF_ENDPOINT",
        )
    return commit


def _check_room(todo: _Download, needed: int) -> None:
    there = sum(one.stat().st_size for one in todo.folder.rglob("*") if one.is_file())
    free, needed = shutil.disk_usage(todo.folder).free, max(0, needed - there) + SLACK_BYTES
    if free < needed:
        raise HubError(
            Reason.DISK,
            f"{todo.source.name} needs {needed / 1e6:,.0f} MB in {todo.folder}, and "
            f"{free / 1e6:,.0f} MB are free: free some, or set LOOKSTREAM_CACHE to a larger disk",
        )


def _licence(info: ModelInfo) -> str:
    card: Any = info.card_data or {}
    licence = card.get("license_name") or card.get("license") or ""
    return licence if isinstance(licence, str) else ", ".join(map(str, licence))


def _git_hash(path: Path) -> str:
    """The hash by which git knows a file."""
    content = path.read_bytes()
    header = f"blob {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _bar(moved: Callable[[int], None]) -> type:
    """What huggingface_hub takes for a class of progress bars; it draws nothing and tells us."""

    class Bar:
        def __init__(self, *, initial: int = 0, **_: object) -> None:
            self.done = initial

        def update(self, more: float) -> None:
            self.done += int(more)
            moved(self.done)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    return Bar


@contextmanager
def _explained(source: Source, endpoint: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        ours = explain(error, source, endpoint, folder)
        if ours is None:
            raise
        raise ours from error
