"""Keep quiet who logs the addresses of downloads: they are signed, which is as good as a key."""

from __future__ import annotations

import logging
import threading
from types import TracebackType

TALKATIVE = ("huggingface_hub", "httpx", "httpcore")


class Silence:
    """A context in which these loggers say nothing; several threads may be in it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._levels: list[int] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._levels = [logging.getLogger(name).level for name in TALKATIVE]
                for name in TALKATIVE:
                    logging.getLogger(name).setLevel(logging.CRITICAL)
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for name, level in zip(TALKATIVE, self._levels, strict=True):
                    logging.getLogger(name).setLevel(level)


SILENCE = Silence()
