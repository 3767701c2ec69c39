"""Log lines for people: what others wrote in them is printable, and secrets stay in variables."""

from __future__ import annotations

import sys
from io import StringIO
from typing import TextIO

import structlog

from workers.terminal.printable import printable


def log_to_stderr() -> None:
    """Lines of this process go to standard error, so that standard output is a command's result."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            *rendered(colors=sys.stderr.isatty()),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def rendered(*, colors: bool = True) -> list[structlog.typing.Processor]:
    """The last processors of lines that people read."""
    return [
        _make_printable,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_traceback),
    ]


def _make_printable(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Keys and reasons of others go into log lines; JSON escapes them, the console renderer not."""
    return {
        name: printable(value, lines=name in ("exception", "stack"))
        if isinstance(value, str)
        else value
        for name, value in event.items()
    }


def _traceback(out: TextIO, error: structlog.typing.ExcInfo) -> None:
    """A traceback, whose last line may quote others too, without local variables."""
    text = StringIO()
    structlog.dev.plain_traceback(text, error)
    out.write(printable(text.getvalue(), lines=True))
