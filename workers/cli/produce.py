"""`lookstream produce DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import Json, Quiet, finish, say
from workers.progress.open import open_progress


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

    Rows are sent unchecked: invalid ones end in the dead-letter topic (`lookstream dlq list`).

    [bold]Examples[/]

      lookstream produce examples/grocery
      lookstream produce my-shop --no-wait
    """
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
            sent = produce_catalog(
                catalog, publisher, topic, inline=not by_reference, on_sent=sending
            )
            ends = publisher.flush().get(topic, {})
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
    finish({"events": sent, "topic": topic, "waited": wait}, json)
