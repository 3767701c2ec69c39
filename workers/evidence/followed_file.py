"""A file that another process replaces: read again when it has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class FollowedFile(Generic[T]):
    """What a file holds now; looking costs one `stat` as long as it is the same file.

    Args:
        path: of the file, which is replaced whole.
        decode: reads it; None where it holds nothing to be used, which is asked once per file.
    """

    def __init__(self, path: Path, decode: Callable[[], T | None]) -> None:
        self._path = path
        self._decode = decode
        self._version: tuple[int, ...] = ()
        self._found: T | None = None

    def read(self) -> T | None:
        """What it holds; None where there is no file, or nothing to be used."""
        try:
            found = self._path.stat()
        except OSError:
            self._version, self._found = (), None
            return None
        version = (found.st_ino, found.st_mtime_ns, found.st_size)
        if version != self._version:
            self._version, self._found = version, self._decode()
        return self._found
