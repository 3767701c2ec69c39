"""The command that fits the text side of the encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import Json, finish, progress_bars, say


def words(
    to: Annotated[Path, typer.Option("--out", help="Where the maps are written.")],
    things: Annotated[int | None, typer.Option(min=320, help="At most so many things.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Of stochastic descent.")] = 1500,
    seed: Annotated[int, typer.Option(help="Of the made-up products and of the draws.")] = 0,
    json: Json = False,
) -> None:
    """Fit the text side: what is typed, with its slips, lies near what is meant.

    Reads names and definitions of ImageNet's classes and made-up products; no catalog.

    [bold]Example[/]

      lookstream train words --out models/weights/words.safetensors
    """
    from models.embedding.text_projection import save_words
    from models.training.text.train import fit_words

    with progress_bars(quiet=json) as bars:
        task = bars.add_task("reading and fitting", total=None)
        fitted = fit_words(
            seed=seed,
            things=things,
            steps=steps,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    save_words(fitted, to)
    say(f"written: {to}")
    finish({"out": str(to), **fitted.card}, json)
