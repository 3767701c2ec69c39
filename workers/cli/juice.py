"""The command that makes a training set smaller."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import Json, Quiet, finish, out, say
from workers.progress.open import open_progress


class By(StrEnum):
    """How the training set becomes smaller."""

    JUICE = "juice"
    SIEVE = "sieve"
    RANDOM = "random"


def juice(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder.")],
    to: Annotated[Path, typer.Option("--out", help="The folder to write; a run can go on there.")],
    keep: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Of each photo's pixels, or of the photos.")
    ] = 0.5,
    by: Annotated[
        By,
        typer.Option(
            help="juice: photos cropped towards what counts and brought down; sieve: photos that "
            "fit their text best; random: any."
        ),
    ] = By.JUICE,
    split: Annotated[str, typer.Option(help="Photos of this split; ALL for all.")] = "train",
    seed: Annotated[int, typer.Option(help="Of random choice.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="That read and write pictures.")] = 2,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Condense a training set: photos cropped towards what counts in them.

    Each sample is kept, with at most a share of its pixels. `--by sieve` and `--by random` keep a
    share of the samples whole, to compare with. Products and other splits stay as they are, and
    are read where they lie. The report is written beside the photos: report.html.

    [bold]Examples[/]

      lookstream juice examples/grocery --split test --out juiced
      lookstream juice DIR --out sieved --by sieve --keep 0.3
      lookstream train embedding juiced --out encoder.safetensors
    """
    from models.curation.juicing import Way
    from workers.config.load_models import encoder_of
    from workers.config.settings import load_settings
    from workers.jobs.juice import JuiceSettings, juice_folder
    from workers.reports.juice_page import write_juice_page

    encoder = encoder_of(load_settings())
    settings = JuiceSettings(
        way=Way(by.value),
        keep=keep,
        split=None if split == "ALL" else split,
        seed=seed,
        model_id=encoder.model_id,
    )
    with open_progress(quiet=quiet) as bars, bars.task("photos") as task:
        found = juice_folder(catalog, to, settings, encoder, task, threads)
    page = to / "report.html"
    write_juice_page(page, catalog, to, settings, found)
    say(f"written: {to}, {page}")
    if not json:
        from rich.table import Table

        table = Table(title=f"{catalog.name}, {by.value}", show_header=False)
        for name, count in found.counts.items():
            table.add_row(name.replace("_", " "), f"{count:,}")
        out.print(table)
    finish(
        {"out": str(to), "report": str(page), "by": by.value, "keep": keep, **found.counts}, json
    )
