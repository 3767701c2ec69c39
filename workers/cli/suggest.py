"""`lookstream suggest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.console import Json, Quiet, finish, out, say
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from workers.jobs.suggest import Suggested


def suggest(
    write: Annotated[
        Path | None, typer.Option("--out", help="Write what is told, a product a line (JSON).")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Tell the colour or category that products lack by the pictures of the catalog's others.

    Each name is tried on the products that have it, told by all others, and is told only as far as
    at least nine in ten are right. Nothing of the catalog is changed. An ingest worker with
    ingest.own_words = true reads what was learned here, and tells it of new products; those that
    are there get it by [bold]lookstream reindex[/].

    [bold]Examples[/]

      lookstream suggest
      lookstream suggest --out suggestions.jsonl
    """
    from workers.config.load_models import encoder_of
    from workers.config.settings import load_settings
    from workers.jobs.suggest import suggest as suggest_words

    settings = load_settings()
    with open_progress(quiet=quiet) as bars:
        with bars.task("loading the encoder"):
            encoder = encoder_of(settings)
        with bars.task("reading the catalog") as task:
            found = suggest_words(settings, encoder, write, lambda read: task(read, 0))
    if not json:
        _print_names(found)
    say(
        f"of {found.products:,} products a category is told of {found.categories:,} that have "
        f"none, and a colour of {found.colours:,} that name none"
    )
    if write is not None:
        say(f"written to {write}: look through it before you send it with your products")
    finish(found.json(), json)


def _print_names(found: Suggested) -> None:
    """The names that can be told, and how many cannot."""
    from rich.table import Table
    from rich.text import Text

    table, silent = Table(title="each product told by the others"), 0
    table.add_column("name")
    for column in ("products", "told", "right"):
        table.add_column(column, justify="right")
    for kind, name, products, told, right in found.rows():
        if told:
            table.add_row(Text(f"{kind} {name}"), f"{products}", f"{told}", f"{right / told:.0%}")
        else:
            silent += 1
    if table.row_count:
        out.print(table)
    if silent:
        say(f"{silent} more names are too rare, or pictures do not tell them")
