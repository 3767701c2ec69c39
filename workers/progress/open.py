"""Choosing how progress is shown."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from workers.progress.lines import Lines
from workers.progress.tasks import Progress


def open_progress(*, quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """Bars where ``stream`` (standard error) is a terminal, else lines; nothing with ``quiet``."""
    stream = stream or sys.stderr
    if quiet:
        return Progress()
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        from workers.progress.bars import Bars  # noqa: PLC0415  only terminals wait for rich
        from workers.terminal.console import SafeConsole  # noqa: PLC0415

        return Bars(SafeConsole(file=stream))
    return Lines(stream)
