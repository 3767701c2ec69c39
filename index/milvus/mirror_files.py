"""The files of a mirror, and the mark of one whose collection is no longer served."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

DATABASE, LOCK, REPLACED = ".sqlite3", ".lock", ".replaced"
FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")
"""The endings of a database, with those that SQLite keeps beside it."""


def mark_replaced(folder: Path, generation: str) -> None:
    """Tell readers of a mirror that the alias is about to move away from its collection."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{generation}{REPLACED}").touch()


def is_marked_replaced(folder: Path, generation: str) -> bool:
    """Whether the alias may have moved away from a collection; only Milvus knows then."""
    return (folder / f"{generation}{REPLACED}").exists()


def unmark_replaced(folder: Path, generation: str) -> None:
    """Take the mark away, when the alias points to the collection again."""
    delete_files(folder, generation, [REPLACED])


def delete_mirror(folder: Path, generation: str) -> None:
    """Delete the mirror of a collection that was dropped, if there is one."""
    delete_files(folder, generation, (*FILES, LOCK, REPLACED))


def delete_files(folder: Path, generation: str, endings: Iterable[str]) -> None:
    """Delete the files of a mirror that end so, where they are there."""
    for ending in endings:
        (folder / f"{generation}{ending}").unlink(missing_ok=True)
