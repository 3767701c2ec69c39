"""`lookstream demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import Json, Quiet, exit_on_sigterm, finish, out, say, table
from workers.cli.up import GROCERY
from workers.progress.open import open_progress


def demo(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder.")] = GROCERY,
    page: Annotated[Path, typer.Option(help="Where the contact sheet goes.")] = Path("demo.html"),
    queries: Annotated[int, typer.Option(min=1, help="The most photos to search with.")] = 300,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Run everything on a catalog, end to end, and show the results.

    Starts the broker, the index and the workers, sends the catalog, searches with its photos,
    clicks some results, prints a table and draws every query beside its results.

    [bold]Examples[/]

      lookstream demo
      lookstream demo my-shop --page my-shop.html
    """
    from workers.config.settings import load_settings
    from workers.deploy.ephemeral import ephemeral_settings
    from workers.jobs.demo import run_demo

    exit_on_sigterm()
    with (
        ephemeral_settings(load_settings(), "demo") as settings,
        open_progress(quiet=quiet) as bars,
    ):
        report = run_demo(catalog, settings, page, bars, queries)
    if not json:
        out.print(table(f"Lookstream on {catalog.name}", report.facts()))
        say(f"every query beside its results: {page}")
    finish(report.json(), json)
