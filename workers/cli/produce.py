"""`lookstream produce DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.console import Json, Quiet, finish, say
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from stream.connection import Kafka
    from stream.outcomes import OutcomeReader
    from stream.topics import Topics
    from workers.jobs.produce import Produced

SHOWN = 5
"""Refused rows that are printed; `--json` has a hundred."""
OUTCOME_S = 10.0
"""How long to wait for the next outcomes, once all events are known to have ended."""


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
    """Send a catalog folder to the catalog topic, and report what became of it.

    A row that cannot be sent is named with its line, and the others go. With --wait (the default)
    the report says how many events were applied, superseded by newer ones, and refused by the
    ingest worker, which keeps those in the dead-letter topic (`lookstream dlq list`). The exit
    status is 1 if any row was refused.

    [bold]Examples[/]

      lookstream produce examples/grocery
      lookstream produce my-shop --no-wait
    """
    from stream.connection import check_broker
    from stream.publisher import Publisher, wait_committed
    from workers.config.settings import load_settings
    from workers.config.wiring import kafka_of, topics_of
    from workers.jobs.evaluate import INGEST_TIMEOUT_S
    from workers.jobs.produce import note_outcomes, produce_catalog

    settings = load_settings()
    kafka, topics = kafka_of(settings), topics_of(settings)
    topic = topics.catalog.name
    check_broker(kafka)
    reader = _outcome_reader(kafka, topics) if wait else None
    with (
        open_progress(quiet=quiet) as bars,
        bars.task("sending") as sending,
        Publisher(kafka) as publisher,
    ):
        report = produce_catalog(
            catalog,
            publisher,
            topic,
            inline=not by_reference,
            settings=settings.ingest,
            on_sent=sending,
        )
        ends = publisher.flush().get(topic, {})
    sent, not_sent = report.sent, report.refused
    _say_refused(catalog, report, "not sent", 0)
    if wait and sent:
        with open_progress(quiet=quiet) as bars, bars.task("ingesting", sent) as ingesting:
            wait_committed(
                kafka,
                settings.group("ingest"),
                topic,
                ends,
                timeout_s=INGEST_TIMEOUT_S,
                on_progress=lambda left: ingesting(sent - left),
            )
            if reader:
                note_outcomes(report, topic, reader.read(OUTCOME_S))
    if reader:
        reader.close()
    _say_refused(catalog, report, "refused by the ingest worker", not_sent)
    say(_summary(report, topic, not_sent, wait))
    for kind, count in sorted(report.coerced.items()):
        say(f"  coerced in {count} rows: {kind.meaning}")
    finish(
        {"events": sent, "topic": topic, "waited": wait, "not_sent": not_sent, **report.json()},
        json,
    )
    if report.refused:
        raise typer.Exit(1)


def _outcome_reader(kafka: Kafka, topics: Topics) -> OutcomeReader | None:
    """A reader of the outcome topic, which a cluster of an earlier version does not have."""
    from stream.errors import BrokerError
    from stream.outcomes import OutcomeReader

    try:
        return OutcomeReader(kafka, topics)
    except BrokerError as error:
        say(f"what becomes of the events will not be known: {error}")
        return None


def _say_refused(catalog: Path, report: Produced, what: str, known: int) -> None:
    """The first rows that were refused since the first `known` ones."""
    from models.catalog.folder import PRODUCTS

    if not (count := report.refused - known):
        return
    say(f"{count} rows were {what}:")
    for row in report.refusals[known:][:SHOWN]:
        say(f"  {catalog / PRODUCTS}:{row.line}: {row.reason}")
    if count > SHOWN:
        say(f"  … and {count - SHOWN} more")


def _summary(report: Produced, topic: str, not_sent: int, waited: bool) -> str:
    sent = f"{report.sent} events sent to {topic}"
    if not waited:
        return sent
    ends = [
        f"{report.applied} applied",
        f"{report.superseded} superseded by newer ones",
        f"{report.refused - not_sent} refused",
    ]
    if report.waiting:
        ends.append(f"{len(report.waiting)} handled, the worker did not say how")
    return f"{sent}: {', '.join(ends)}"
