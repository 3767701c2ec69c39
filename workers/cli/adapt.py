"""`lookstream adapt`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.console import Json, Quiet, finish, out, print_line, say
from workers.errors import SettingsError
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from models.embedding.adapt import Exam


def adapt(
    catalog: Annotated[
        Path | None,
        typer.Argument(
            help="A catalog folder: learn from its product pictures, not from the sample."
        ),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take away what was learned.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Learn how queries should be compared in the live catalog, from its own pictures; in minutes.

    A quarter of the products are held out. What was learned is put in place only if they are found
    better with it, by more than the error; otherwise what is there is kept. Items are not encoded
    again, and queries follow at once, without a restart.

    [bold]Examples[/]

      lookstream adapt
      lookstream adapt my-shop
      lookstream adapt --undo
    """
    from workers.config.settings import load_settings
    from workers.evidence.adapted import AdaptedFile
    from workers.jobs.adapt import adapt as adapt_catalog

    settings = load_settings()
    if undo:
        if catalog is not None:
            raise SettingsError("give a folder to learn from, or --undo")
        removed = AdaptedFile(settings, model_id="").remove()
        say(
            "what was learned is gone: queries are compared by part weights alone"
            if removed
            else "nothing was learned, so nothing is changed"
        )
        finish({"removed": removed}, json)
        return
    with open_progress(quiet=quiet) as bars:
        found = asyncio.run(adapt_catalog(settings, catalog, bars))
    if not json:
        print_exam(found.exam)
    if found.promoted:
        say("promoted: queries follow at once; `lookstream adapt --undo` takes it away again")
    else:
        kept = "what was learned before is kept" if found.had_one else "queries are not mapped"
        say(f"not promoted: {_why(found.exam)} ({kept})")
    finish(found.report(), json)


def _why(exam: Exam) -> str:
    """What the exam was not passed by."""
    if exam.gain <= exam.error:
        return "not better by more than its error"
    if exam.after_self < exam.before_self:
        return "fewer products are found first"
    return "kinds are found worse"


def print_exam(exam: Exam) -> None:
    """What held-out products said, before and after."""
    from rich.table import Table

    table = Table(title=f"{exam.products} products held out, {exam.views} views of them")
    table.add_column("found first")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    for name, before, after in (
        ("by a view, its product (self@1)", exam.before_self, exam.after_self),
        ("by an item, its category (category@1)", exam.before_category, exam.after_category),
    ):
        table.add_row(name, f"{before:.1%}", f"{after:.1%}")
    out.print(table)
    print_line(f"gain in log likelihood: {exam.gain:+.3f} ± {exam.error:.3f}")
