"""Output of the commands: progress and remarks on standard error, results on standard output."""

from __future__ import annotations

import signal
from typing import Annotated, Any

import orjson
import typer

from workers.terminal.console import SafeConsole
from workers.terminal.printable import printable, printable_json

out = SafeConsole()
err = SafeConsole(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Don't show how far it is.")]


def say(line: str) -> None:
    """A remark for the person at the terminal."""
    err.print(printable(line), soft_wrap=True)


def print_line(line: str) -> None:
    """One line of the result, for the person at the terminal."""
    out.print(printable(line), soft_wrap=True)


def finish(report: dict[str, Any], json: bool) -> None:
    """With `--json`, print the report as one line of JSON, safe on a terminal too."""
    if json:
        options = orjson.OPT_SERIALIZE_NUMPY
        out.file.write(printable_json(orjson.dumps(report, option=options).decode()) + "\n")
        out.file.flush()


def table(title: str, facts: list[tuple[str, str]]) -> object:
    """A table of names and values."""
    from rich.table import Table

    drawn = Table(title=title, show_header=False, title_justify="left")
    drawn.add_column(style="dim")
    drawn.add_column(justify="right", style="bold")
    for name, value in facts:
        drawn.add_row(name, value)
    return drawn


def exit_on_sigterm() -> None:
    """Let SIGTERM unwind like Ctrl-C, so that every process started is ended."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
