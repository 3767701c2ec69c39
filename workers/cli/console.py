"""How the commands speak: progress and remarks on standard error, results on standard output."""

from __future__ import annotations

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
