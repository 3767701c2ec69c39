"""One `up` a folder: the process that owns a data folder holds a lock on a file in it.

The kernel releases the lock when the process ends, however it ends; what the file says is only for
the message to whoever comes second.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import TextIO

from workers.deploy.port_holder import process_name
from workers.errors import StackError

NAME = "lookstream.lock"


class RunLock:
    """The lock on a folder, from `acquire` to `release`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._file: TextIO | None = None

    def acquire(self) -> None:
        """Take the lock, or raise `StackError` with who has it."""
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP):
                return  # a network file system without locks: the ports will tell
            raise StackError(
                f"Lookstream runs in {self._path.parent.resolve()} already: {holder}. Stop it, or "
                "set data_dir (LOOKSTREAM_DATA_DIR) to another folder"
            ) from error
        file.truncate(0)
        file.write(process_name(os.getpid()) + "\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let the next one in; nothing happens without the lock."""
        if self._file:
            self._file.close()
            self._file = None
