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
        Path | None, typer.Option("--out", help="Write what is predicted, a product a line (JSON).")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Predict the colour or category that products lack by the pictures of the catalog's others.

    A classifier is fitted to the products that have one, and judged by leaving each of them out: a
    name is predicted only as far as nine in ten are right. Nothing of the catalog is changed. An
    ingest worker with ingest.predict_attributes = true reads what was learned here, and predicts
    attributes of new products; those that are there get them by [bold]lookstream reindex[/].

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
        f"of {found.products:,} products a category is predicted for {found.categories:,} that "
        f"have none, and a colour for {found.colours:,} that name none"
    )
    if write is not None:
        say(f"written to {write}: look through it before you send it with your products")
    finish(found.json(), json)


def _print_names(found: Suggested) -> None:
    """The names that can be predicted, and how many cannot."""
    from rich.table import Table
    from rich.text import Text

    table, silent = Table(title="each product predicted by the others"), 0
    table.add_column("name")
    for column in ("products", "predicted", "right"):
        table.add_column(column, justify="right")
    for kind, name, products, predicted, right in found.rows():
        if predicted:
            table.add_row(
                Text(f"{kind} {name}"), f"{products}", f"{predicted}", f"{right / predicted:.0%}"
            )
        else:
            silent += 1
    if table.row_count:
        out.print(table)
    if silent:
        say(f"{silent} more names are too rare, or pictures do not predict them")
