"""What was fetched: commits, files and their hashes, in a lock file beside them.

    CACHE/hub/OWNER--NAME/lock.json       what is here, and which commit a branch stood for
    CACHE/hub/OWNER--NAME/COMMIT/NAME/    the files, as the repository has them

A branch is resolved once and then stays with that commit (trust on first use), because vectors of
another commit must not be compared with those in the index.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path, PurePosixPath

import msgspec

from models.backbone.checkpoints import sha256_of
from models.cache import cache_folder
from models.errors import HubError
from models.hub.names import Source
from models.hub.reasons import Reason

LOCK = "lock.json"


class LockedFile(msgspec.Struct, frozen=True):
    """One file: its size in bytes, its hash, and when it was changed, in ns since 1970."""

    size: int
    sha256: str
    mtime_ns: int


class Snapshot(msgspec.Struct, frozen=True):
    """The files of one commit.

    Attributes:
        licence: as the repository names it; "" where it names none.
        fetched: when, in ISO 8601.
        files: by name.
    """

    licence: str
    fetched: str
    files: dict[str, LockedFile]


class Lock(msgspec.Struct, frozen=True):
    """All that is here of a repository.

    Attributes:
        repo: OWNER/NAME.
        branches: the commit that a branch or tag stands for here.
        snapshots: by commit.
    """

    repo: str
    branches: dict[str, str] = {}
    snapshots: dict[str, Snapshot] = {}

    def commit_of(self, revision: str) -> str:
        """The commit of a revision; of an unknown branch, the branch."""
        return self.branches.get(revision, revision)


def hub_folder() -> Path:
    """Where all that was fetched is kept."""
    return cache_folder() / "hub"


def repo_folder(repo: str) -> Path:
    """Where a repository's commits are kept."""
    return hub_folder() / repo.replace("/", "--")


def snapshot_folder(repo: str, commit: str) -> Path:
    """Where the files of a commit are, in a folder that is called as the repository."""
    return repo_folder(repo) / commit / repo.rpartition("/")[2]


def is_safe_name(name: str) -> bool:
    """Whether a file of this name stays in the folder of its repository."""
    path = PurePosixPath(name)
    return (
        name.isprintable()
        and "\\" not in name
        and not path.is_absolute()
        and str(path) == name
        and ".." not in path.parts
        and ":" not in path.parts[0]
    )


def read_lock(repo: str) -> Lock:
    """The lock of a repository; an empty one if nothing of it is here. Raises HubError."""
    path = repo_folder(repo) / LOCK
    try:
        lock = msgspec.json.decode(path.read_bytes(), type=Lock)
    except FileNotFoundError:
        return Lock(repo)
    except OSError as error:
        raise HubError(
            Reason.DISK,
            f"{path} cannot be read ({error.strerror}): set LOOKSTREAM_CACHE to a folder that can",
        ) from error
    except msgspec.DecodeError as error:
        raise HubError(
            Reason.CHANGED, f"{path} cannot be read ({error}): delete {path.parent} and fetch again"
        ) from error
    if lock.repo != repo or not all(map(is_safe_name, _names(lock))):
        raise HubError(
            Reason.CHANGED, f"{path} is not of {repo}: delete {path.parent} and fetch again"
        )
    return lock


def write_lock(lock: Lock) -> None:
    """Write the lock of a repository in one atomic step."""
    folder = repo_folder(lock.repo)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".lock-", delete=False) as file:
        file.write(msgspec.json.format(msgspec.json.encode(lock)))
    os.replace(file.name, folder / LOCK)


def locked_file(path: Path) -> LockedFile:
    """What a file is now; reads all of it."""
    status = path.stat()
    return LockedFile(status.st_size, sha256_of(path), status.st_mtime_ns)


def find_snapshot(source: Source) -> tuple[Path, Snapshot] | None:
    """The folder of a source that is here whole, and what was locked of it; asks no network.

    A file whose time or size is another one than when it was fetched is hashed again.

    Raises:
        HubError: a file was changed since.
    """
    lock = read_lock(source.repo)
    commit = lock.commit_of(source.revision)
    snapshot = lock.snapshots.get(commit)
    folder = snapshot_folder(source.repo, commit)
    if snapshot is None or not all((folder / name).is_file() for name in snapshot.files):
        return None
    for name, locked in snapshot.files.items():
        if _is_untouched(folder / name, locked):
            continue
        if sha256_of(folder / name) != locked.sha256:
            raise HubError(
                Reason.CHANGED,
                f"{folder / name} was changed since it was fetched: delete {folder} and run "
                f"`lookstream models fetch {source.name}`",
            )
    return folder, snapshot


def known_sha256(path: Path) -> str | None:
    """The hash of a fetched file, by its lock; None of other files, and of one that was touched.

    Raises:
        HubError: the lock cannot be read.
    """
    commit = path.parent.parent
    if commit.parent.parent != hub_folder():
        return None
    snapshot = read_lock(commit.parent.name.replace("--", "/")).snapshots.get(commit.name)
    locked = None if snapshot is None else snapshot.files.get(path.name)
    return locked.sha256 if locked is not None and _is_untouched(path, locked) else None


def _is_untouched(path: Path, locked: LockedFile) -> bool:
    status = path.stat()
    return (status.st_size, status.st_mtime_ns) == (locked.size, locked.mtime_ns)


def _names(lock: Lock) -> list[str]:
    return [name for snapshot in lock.snapshots.values() for name in snapshot.files]
