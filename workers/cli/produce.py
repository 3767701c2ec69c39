"""`lookstream produce DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import Json, Quiet, finish, say
from workers.progress.open import open_progress

SHOWN = 5
"""Refused rows that are printed; `--json` has a hundred."""


def produce(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder.")],
    by_reference: Annotated[
        bool,
        typer.Option(help="Send file paths instead of the pictures; see intake.roots."),
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait until all of it is searchable.")] = True,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Send a catalog folder to the catalog topic.

    A row that cannot be sent is named with its line, the others are sent, and the exit status is 1.
    What the ingest worker refuses ends in the dead-letter topic (`lookstream dlq list`).

    [bold]Examples[/]

      lookstream produce examples/grocery
      lookstream produce my-shop --no-wait
    """
    from models.catalog.folder import PRODUCTS
    from stream.connection import check_broker
    from stream.publisher import Publisher, wait_committed
    from workers.config.settings import load_settings
    from workers.config.wiring import kafka_of, topics_of
    from workers.jobs.evaluate import INGEST_TIMEOUT_S
    from workers.jobs.produce import produce_catalog

    settings = load_settings()
    kafka, topic = kafka_of(settings), topics_of(settings).catalog.name
    check_broker(kafka)
    with open_progress(quiet=quiet) as bars:
        with bars.task("sending") as sending, Publisher(kafka) as publisher:
            report = produce_catalog(
                catalog, publisher, topic, inline=not by_reference, on_sent=sending
            )
            ends = publisher.flush().get(topic, {})
        sent = report.sent
        if wait and sent:
            with bars.task("ingesting", sent) as ingesting:
                wait_committed(
                    kafka,
                    settings.group("ingest"),
                    topic,
                    ends,
                    timeout_s=INGEST_TIMEOUT_S,
                    on_progress=lambda left: ingesting(sent - left),
                )
    say(f"{sent} events sent to {topic}" + (", all of them handled" if wait else ""))
    for row in report.refusals[:SHOWN]:
        say(f"  {catalog / PRODUCTS}:{row.line}: {row.reason}")
    if report.refused:
        say(f"{report.refused} rows were refused: correct them, and send the folder again")
    finish({"events": sent, "topic": topic, "waited": wait, **report.json()}, json)
    if report.refused:
        raise typer.Exit(1)
