"""`lookstream evaluate DIR`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.adapt import print_exam
from workers.cli.console import Json, Quiet, finish, out, say
from workers.errors import SettingsError
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from workers.jobs.evaluate import Evaluation


def evaluate(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder with photos.jsonl.")],
    split: Annotated[str, typer.Option(help="Which photos to search with.")] = "test",
    through_kafka: Annotated[
        bool, typer.Option(help="Send every product and photo over real topics.")
    ] = False,
    adapt: Annotated[
        bool, typer.Option(help="Measure also what `lookstream adapt` would give here.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure search on a catalog folder: hit rates of retrieval and after reranking.

    [bold]Examples[/]

      lookstream evaluate examples/grocery
      lookstream evaluate examples/grocery --through-kafka --json
      lookstream evaluate examples/grocery --adapt
      LOOKSTREAM_KAFKA__BOOTSTRAP=host:9092 lookstream evaluate examples/grocery --through-kafka
    """
    from models.evaluation.metrics import HIT_RATES
    from workers.config.settings import load_settings
    from workers.deploy.ephemeral import ephemeral_settings
    from workers.jobs.evaluate import evaluate_offline, evaluate_through_kafka

    if adapt and through_kafka:
        raise SettingsError("--adapt is measured offline: leave --through-kafka out")
    settings = load_settings()
    with open_progress(quiet=quiet) as bars:
        if through_kafka:
            with ephemeral_settings(settings, "evaluate") as ephemeral:
                found = evaluate_through_kafka(catalog, split, ephemeral, bars)
        else:
            found = asyncio.run(evaluate_offline(catalog, split, settings, bars, adapt=adapt))
    if not json:
        from rich.table import Table

        table = Table(
            title=f"{catalog.name}/{split}: {found.products} products, "
            f"{found.queries} queries, model {found.model_id}"
        )
        for name in ("", *map(str, HIT_RATES), "average"):
            table.add_column(name, justify="right" if name else "left")
        rows = {
            "retrieval": found.retrieval,
            "reranked": found.reranked,
            **_adapted_rows(found),
            "best possible": found.best_possible,
        }
        for name, rates in rows.items():
            keys = [*(rate.key for rate in HIT_RATES), "average"]
            table.add_row(name, *(f"{100 * rates[key]:.1f}" for key in keys))
        out.print(table)
        if found.adapted and found.adapted.exam:
            print_exam(found.adapted.exam)
        for note in found.notes:
            say(note)
    finish(found.report(), json)


def _adapted_rows(found: Evaluation) -> dict[str, dict[str, float]]:
    """The rows of what adapting gives, where it was asked for and passed its exam."""
    if found.adapted is None or not found.adapted.promoted:
        return {}
    return {
        "retrieval, adapted": found.adapted.retrieval,
        "reranked, adapted": found.adapted.reranked,
    }
