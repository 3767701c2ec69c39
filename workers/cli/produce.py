"""`lookstream produce DIR` and `lookstream produce FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.console import Json, Quiet, finish, say
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from stream.connection import Kafka
    from stream.outcomes import OutcomeReader
    from stream.topics import Topics
    from workers.config.settings import Settings
    from workers.jobs.catalog_source import CatalogSource
    from workers.jobs.complete import Missing
    from workers.jobs.produce import Produced

DELETE_SHARE = 0.2
"""Of all products that may go without being asked: more is rather an export that broke off."""
SHOWN = 5
"""Refused rows that are printed; `--json` has a hundred."""
SHOWN_DELETES = 20
"""Products that a dry run prints."""
OUTCOME_S = 10.0
"""How long to wait for the next outcomes, once all events are known to have ended."""


def produce(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder, or a feed file.")],
    mapping: Annotated[
        Path | None,
        typer.Option(
            "--map", help="A TOML file with the feed's mapping, in place of the settings' own."
        ),
    ] = None,
    by_reference: Annotated[
        bool,
        typer.Option(help="Send file paths instead of the pictures; see intake.roots."),
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait until all of it is searchable.")] = True,
    complete: Annotated[
        bool,
        typer.Option("--complete", help="Delete the products that no row names."),
    ] = False,
    delete_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Of the products that --complete may delete, unasked."),
    ] = DELETE_SHARE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent and deleted.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Send a catalog folder or feed to the catalog topic, and report what became of it.

    A feed is Google Merchant's XML or TSV, the product CSV of Shopify or WooCommerce, or any CSV,
    JSON lines or Parquet whose columns `lookstream map` has explained.

    A row that cannot be sent is named with its line, and the others go. With --wait (the default)
    the report says how many events were applied, superseded by newer ones, and refused by the
    ingest worker, which keeps those in the dead-letter topic (`lookstream dlq list`). The exit
    status is 1 if any row was refused.

    With --complete, products of the index that no row names are deleted, unless more than
    --delete-share of all would go: then nothing is sent. While the id of a row cannot be read,
    nothing is deleted.

    [bold]Examples[/]

      lookstream produce examples/grocery
      lookstream produce my-shop --no-wait
      lookstream produce google-feed.xml --dry-run
      lookstream produce products.csv --map map.toml
      lookstream produce nightly-export --complete --dry-run
      lookstream produce nightly-export --complete --delete-share 0.5
    """
    from stream.connection import check_broker
    from workers.config.catalog import read_mapping_file
    from workers.config.settings import load_settings
    from workers.config.wiring import kafka_of
    from workers.jobs.catalog_source import open_source

    settings = load_settings()
    source = open_source(catalog, read_mapping_file(mapping) if mapping else settings.catalog)
    next(source.read(), None)  # what is not there is said before any waiting
    if source.note:
        say(source.note)
    check_broker(kafka_of(settings))
    missing = None
    if complete:
        missing = _missing(source, settings, wait=wait and not dry_run, quiet=quiet)
    if dry_run:
        report = _rehearse(source, settings, missing, delete_share)
    else:
        if missing:
            from workers.jobs.complete import check_share

            check_share(missing, delete_share)
        report = _send(source, settings, missing, by_reference=by_reference, wait=wait, quiet=quiet)
    if complete and missing is None:
        report["complete"] = {"skipped": "the id of a row cannot be read"}
    finish(report, json)
    if report["refused"] and not dry_run:
        raise typer.Exit(1)


def _send(
    source: CatalogSource,
    settings: Settings,
    missing: Missing | None,
    *,
    by_reference: bool,
    wait: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Send the folder, and deletes for what is missing; the report for machines."""
    from stream.publisher import Publisher, wait_committed
    from workers.config.wiring import kafka_of, topics_of
    from workers.jobs.complete import send_deletes
    from workers.jobs.evaluate import INGEST_TIMEOUT_S
    from workers.jobs.produce import Produced, note_outcomes, produce_catalog

    kafka, topics = kafka_of(settings), topics_of(settings)
    topic = topics.catalog.name
    reader = _outcome_reader(kafka, topics) if wait else None
    with (
        open_progress(quiet=quiet) as bars,
        bars.task("sending") as sending,
        Publisher(kafka) as publisher,
    ):
        report = produce_catalog(
            source,
            publisher,
            topic,
            inline=not by_reference,
            settings=settings.ingest,
            on_sent=sending,
        )
        deleted = send_deletes(missing, publisher, topic) if missing else Produced()
        ends = publisher.flush().get(topic, {})
    sent, not_sent = report.sent + deleted.sent, report.refused
    _say_refused(source, report, "not sent", 0)
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
                note_outcomes([report, deleted], topic, reader.read(OUTCOME_S))
    if reader:
        reader.close()
    _say_refused(source, report, "refused by the ingest worker", not_sent)
    say(_summary(report, topic, not_sent, wait))
    for kind, count in sorted(report.coerced.items()):
        say(f"  coerced in {count} rows: {kind.meaning}")
    found = {"events": report.sent, "topic": topic, "waited": wait, "not_sent": not_sent}
    if missing is None:
        return found | report.json()
    say(f"{deleted.sent} deletes sent of products that no row names: {missing}")
    ends_of_deletes = {
        "deletes_sent": deleted.sent,
        "deleted": deleted.applied,
        "superseded": deleted.superseded,
    }
    return found | report.json() | {"complete": missing.json() | ends_of_deletes}


def _missing(
    source: CatalogSource, settings: Settings, *, wait: bool, quiet: bool
) -> Missing | None:
    """What no row names, of the index as it is when all before is ingested.

    None where nothing may be deleted, because the id of a row cannot be read.
    """
    from workers.deploy.lag import behind, group_lag
    from workers.jobs.complete import missing_products, named_products, wait_ingested

    named = named_products(source)
    if named.unreadable:
        lines = ", ".join(map(str, named.unreadable[:SHOWN]))
        more = ", …" if len(named.unreadable) > SHOWN else ""
        say(
            f"nothing is deleted: {source.file} has rows whose id cannot be read (lines "
            f"{lines}{more}), and they may name any product. Correct them, and send it again"
        )
        return None
    if wait:
        with open_progress(quiet=quiet) as bars, bars.task("ingesting what came before") as task:
            wait_ingested(settings, task)
    elif count := behind(group_lag(settings, "ingest")):
        say(f"{count} events are not ingested yet: what they add or delete is not considered")
    return missing_products(settings, named)


def _rehearse(
    source: CatalogSource, settings: Settings, missing: Missing | None, delete_share: float
) -> dict[str, Any]:
    """Say what would be sent and deleted; the report for machines."""
    from workers.errors import TooManyDeletes
    from workers.jobs.complete import check_share
    from workers.jobs.produce import Produced, catalog_events

    report = Produced()
    for record in catalog_events(source, settings=settings.ingest, on_refused=report.refuse):
        report.sent += 1
        report.coerced.update(record.coercions)
    _say_refused(source, report, "refused", 0)
    say(f"would send {report.sent} events")
    found = report.json() | {"dry_run": True, "sent": 0, "would_send": report.sent}
    if missing is None:
        return found
    say(f"would delete {missing}" + (":" if missing.ids else ""))
    for product_id in missing.ids[:SHOWN_DELETES]:
        say(f"  {product_id}")
    if len(missing.ids) > SHOWN_DELETES:
        say(f"  … and {len(missing.ids) - SHOWN_DELETES} more")
    allowed = True
    try:
        check_share(missing, delete_share)
    except TooManyDeletes as error:
        allowed = False
        say(f"that would be refused: {error}")
    return found | {"complete": missing.json() | {"allowed": allowed}}


def _outcome_reader(kafka: Kafka, topics: Topics) -> OutcomeReader | None:
    """A reader of the outcome topic, which a cluster of an earlier version does not have."""
    from stream.errors import BrokerError
    from stream.outcomes import OutcomeReader

    try:
        return OutcomeReader(kafka, topics)
    except BrokerError as error:
        say(f"what becomes of the events will not be known: {error}")
        return None


def _say_refused(source: CatalogSource, report: Produced, what: str, known: int) -> None:
    """The first rows that were refused since the first `known` ones."""
    if not (count := report.refused - known):
        return
    say(f"{count} rows were {what}:")
    for row in report.refusals[known:][:SHOWN]:
        say(f"  {source.file}:{row.line}: {row.reason}")
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
