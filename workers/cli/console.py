"""How the commands speak: progress and remarks on standard error, results on standard output."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


def say(line: str) -> None:
    """A remark for the person at the terminal."""
    err.print(line, markup=False, highlight=False, soft_wrap=True)


def finish(report: dict[str, Any], json: bool) -> None:
    """Print the report as one JSON line, if that was asked for."""
    if json:
        options = orjson.OPT_SERIALIZE_NUMPY
        out.file.write(orjson.dumps(report, option=options).decode() + "\n")
        out.file.flush()


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[Progress]:
    """Progress bars on standard error; none with `quiet`."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=quiet,
    ) as bars:
        yield bars


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
