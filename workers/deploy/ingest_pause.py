"""Pausing the ingest worker of `lookstream up` while an index takes the place of another.

Who pauses it holds a lock on a file in `data_dir`, and the supervisor ends the worker and starts it
again when the lock is free. The kernel frees it when its holder ends, however it ends, so that
nothing stays paused by a crash. Events wait in Kafka meanwhile.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from workers.deploy.run_lock import is_locked
from workers.errors import SettingsError

NAME = "ingest-paused.lock"
PATIENCE_S = 60.0
POLL_S = 0.1


@contextmanager
def paused_ingest(
    data_dir: Path, running: Callable[[], str], sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Keep the supervisor's ingest worker ended while inside.

    Args:
        data_dir: of the supervisor.
        running: says where an ingest worker runs; "" when none does.
        sleep: waits for so many seconds.

    Raises:
        SettingsError: somebody else pauses it, or it does not end.
    """
    with (data_dir / NAME).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SettingsError(
                "another command is promoting an index in this data_dir: wait until it is done"
            ) from error
        waited = 0.0
        while where := running():
            if waited >= PATIENCE_S:
                raise SettingsError(
                    f"the ingest worker ({where}) did not end within {PATIENCE_S:.0f} s: see its "
                    "log, and run the command again"
                )
            sleep(POLL_S)
            waited += POLL_S
        yield


def ingest_is_paused(data_dir: Path) -> bool:
    """Whether somebody holds the ingest worker back."""
    return is_locked(data_dir / NAME)
