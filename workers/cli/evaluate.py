"""`lookstream evaluate DIR`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import Json, Quiet, finish, out, say
from workers.progress.open import open_progress


def evaluate(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder with photos.jsonl.")],
    split: Annotated[str, typer.Option(help="Which photos to search with.")] = "test",
    through_kafka: Annotated[
        bool, typer.Option(help="Send every product and photo over real topics.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure search on a catalog folder: hit rates of retrieval and after reranking.

    [bold]Examples[/]

      lookstream evaluate examples/grocery
      lookstream evaluate examples/grocery --through-kafka --json
      LOOKSTREAM_KAFKA__BOOTSTRAP=host:9092 lookstream evaluate examples/grocery --through-kafka
    """
    from models.evaluation.metrics import HIT_RATES
    from workers.config.settings import load_settings
    from workers.deploy.ephemeral import ephemeral_settings
    from workers.jobs.evaluate import evaluate_offline, evaluate_through_kafka

    settings = load_settings()
    with open_progress(quiet=quiet) as bars:
        if through_kafka:
            with ephemeral_settings(settings, "evaluate") as ephemeral:
                found = evaluate_through_kafka(catalog, split, ephemeral, bars)
        else:
            found = asyncio.run(evaluate_offline(catalog, split, settings, bars))
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
            "best possible": found.best_possible,
        }
        for name, rates in rows.items():
            keys = [*(rate.key for rate in HIT_RATES), "average"]
            table.add_row(name, *(f"{100 * rates[key]:.1f}" for key in keys))
        out.print(table)
        for note in found.notes:
            say(note)
    finish(found.report(), json)
