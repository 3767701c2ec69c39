"""The command that curates a catalog folder's ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.console import Json, Quiet, finish, out, say
from workers.errors import WorkerError
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from msgspec.json import Decoder

    from stream.record_file import Line


def curate(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder.")],
    to: Annotated[Path, typer.Option("--out", help="The file for the clusters, one a line.")],
    links: Annotated[
        Path | None,
        typer.Option(help="Attributed clicks: one a line, or a recording of their topic."),
    ] = None,
    split: Annotated[str, typer.Option(help="Photos of this split; ALL for all.")] = "train",
    page: Annotated[
        Path | None, typer.Option(help="A file for an HTML page of the most doubtful documents.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Check which product each picture shows: plan, propose, organize, review.

    Wrong ids are replaced, pictures without an id are assigned to the product they show, outliers
    are pruned; each with an explanation. A click's query is matched to a photo by its file name.
    The report is written beside the clusters: CLUSTERS.report.json.

    [bold]Examples[/]

      lookstream curate examples/grocery --out clusters.jsonl
      lookstream curate DIR --out clusters.jsonl --links attributed-clicks.jsonl --json
      lookstream curate DIR --out clusters.jsonl --split ALL --page doubtful.html
    """
    import orjson

    from models.curation.curate import curate as run
    from models.curation.folder import read_documents, with_clicks
    from models.curation.report import report, write_clusters
    from workers.config.load_models import encoder_of
    from workers.config.settings import load_settings
    from workers.reports.curation_page import write_page

    clicks = list(read_clicks(links)) if links else []
    encoder = encoder_of(load_settings())
    with open_progress(quiet=quiet) as bars:
        with bars.task("encoding pictures") as task:
            documents = read_documents(catalog, encoder, None if split == "ALL" else split, task)
        documents, unknown = with_clicks(documents, clicks)
        curated = run(documents, progress=bars.phases())
    found = report(documents, curated)
    write_clusters(documents, curated, to)
    report_path = to.with_suffix(".report.json")
    report_path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    say(f"written: {to}, {report_path}")
    if page:
        write_page(page, catalog, documents, curated)
        say(f"written: {page}")
    if not json:
        from rich.table import Table

        table = Table(title=f"{catalog.name}: {len(documents)} documents", show_header=False)
        for name, share in curated.plan.views.items():
            table.add_row(f"with {name}", f"{100 * share:.0f} %")
        table.add_row("clicks, of them unknown", f"{len(clicks)}, {unknown}")
        decisions = found["decisions"]
        for decision, number in decisions.items() if isinstance(decisions, dict) else ():
            table.add_row(decision, str(number))
        table.add_row("clusters", f"{found['clusters']}, {found['pure_clusters']} of them pure")
        out.print(table)
    finish({"out": str(to), "clicks": len(clicks), "unknown_clicks": unknown, **found}, json)


def read_clicks(path: Path) -> Iterator[tuple[str, str, int]]:
    """Query id, product id and position of attributed clicks.

    Raises:
        WorkerError: the file cannot be read, or a line is no attributed click.
    """
    import msgspec

    from stream.messages import AttributedClick
    from stream.record_file import Line

    click, recorded = msgspec.json.Decoder(AttributedClick), msgspec.json.Decoder(Line)
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                try:
                    one = click.decode(_message(text, recorded))
                except msgspec.DecodeError as error:
                    raise WorkerError(
                        f"{path}:{number} is no attributed click: {error}; record the topic with "
                        "`lookstream record`, or write one message a line"
                    ) from error
                yield one.query_id, one.product_id, one.position
    except OSError as error:
        raise WorkerError(f"cannot read {path}: {error.strerror}") from error


def _message(text: bytes, recorded: Decoder[Line]) -> bytes:
    """The message of a line: the line itself, or what a recording holds."""
    import msgspec

    try:
        line = recorded.decode(text)
    except msgspec.ValidationError:
        return text
    return line.value.encode() if isinstance(line.value, str) else b""
