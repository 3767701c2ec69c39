"""Locks between the processes that write one catalog, and those that put another in its place.

Both are locks of the kernel on files (flock): whoever dies holds none, so that nothing stays closed
after a crash and nobody has to guess how long to wait. All processes that write a catalog need the
same folder, as they do for its prototype banks; on a network it must have locks (NFS 4 has).

- `WriteGate`: writers go through it together, one batch at a time; who switches generations closes
  it for a moment. While it is closed nobody writes, and what was written before is complete.
- `one_change`: one process at a time builds prototypes, copies, or switches.
"""

from __future__ import annotations

import errno
import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from index.errors import ChangeUnderWay, SearchIndexError

TURNSTILE, ROOM, CHANGE = "turnstile.lock", "writing.lock", "change.lock"
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)
POLL_S = 0.2
"""How often to look whether another change has ended."""

log = structlog.get_logger(__name__)


class WriteGate:
    """The gate of one catalog. Thread-safe; a thread that is inside may enter again.

    A turnstile before the room (Downey 2016, no-starve readers-writers) keeps a steady stream of
    writers from holding up for ever who wants to close it.

    Args:
        folder: the catalog's; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inside = threading.local()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Waits while the gate is closed; it cannot be closed while somebody is inside."""
        if getattr(self._inside, "entered", False):
            yield
            return
        with _locked(self._folder / TURNSTILE, fcntl.LOCK_SH, required=False):
            pass
        with _locked(self._folder / ROOM, fcntl.LOCK_SH, required=False):
            self._inside.entered = True
            try:
                yield
            finally:
                self._inside.entered = False

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Waits until nobody is inside, and lets nobody in until it is left.

        Raises:
            SearchIndexError: the folder is on a file system without locks.
        """
        with (
            _locked(self._folder / TURNSTILE, fcntl.LOCK_EX),
            _locked(self._folder / ROOM, fcntl.LOCK_EX),
        ):
            yield


@contextmanager
def one_change(
    folder: Path, patience_s: float = 0.0, sleep: Callable[[float], object] = time.sleep
) -> Iterator[None]:
    """While inside, no other process changes the generations of the catalog in this folder.

    Raises:
        ChangeUnderWay: another does, and has not ended after `patience_s` seconds.
    """
    waited = 0.0
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(_locked(folder / CHANGE, fcntl.LOCK_EX | fcntl.LOCK_NB))
                break
            except BlockingIOError as error:
                if waited >= patience_s:
                    raise ChangeUnderWay(
                        "another process builds prototypes of this catalog, or switches its "
                        "generations: try again when it is done"
                    ) from error
            if not waited:
                log.info("waiting: another process builds prototypes or switches generations")
            sleep(POLL_S)
            waited += POLL_S
        yield


@contextmanager
def _locked(path: Path, kind: int, *, required: bool = True) -> Iterator[None]:
    """The lock on a file, which every holder opens for itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, kind)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            if required:
                raise SearchIndexError(
                    f"{path.parent} is on a file system without locks: generations can be switched "
                    "only on one with locks (NFS 4 has them)"
                ) from error
        yield
