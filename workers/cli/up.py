"""Commands that run things: demo, up, worker, doctor."""

from __future__ import annotations

import signal
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import Json, finish, out, progress_bars, say

GROCERY = Path("examples/grocery")


class WorkerName(StrEnum):
    """The kinds of worker."""

    ingest = "ingest"
    query = "query"
    feedback = "feedback"


def demo(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder.")] = GROCERY,
    page: Annotated[Path, typer.Option(help="Where the contact sheet goes.")] = Path("demo.html"),
    queries: Annotated[int, typer.Option(min=1, help="At most so many photos ask.")] = 300,
    json: Json = False,
) -> None:
    """Run the whole thing on a catalog, end to end, and show what came out.

    Starts the broker, the index and the workers, sends the catalog, asks with its photos, clicks
    some results, prints a table and draws every query beside its answers.

    [bold]Examples[/]

      lookstream demo
      lookstream demo my-shop --page my-shop.html
    """
    from workers.jobs.demo import run_demo
    from workers.deploy.ephemeral import scratch_settings
    from workers.config.settings import load_settings

    _exit_on_sigterm()
    with scratch_settings(load_settings(), "demo") as settings, progress_bars(quiet=json) as bars:
        report = run_demo(catalog, settings, page, bars, queries)
    if not json:
        out.print(_table(f"Lookstream on {catalog.name}", report.facts()))
        say(f"every query beside its answers: {page}")
    finish(report.json(), json)


def up(
    only: Annotated[
        list[WorkerName] | None, typer.Option(help="Start only these workers; repeatable.")
    ] = None,
) -> None:
    """Run broker, index and workers until Ctrl-C.

    What the settings do not call embedded is used where it is. Restarts workers that end.

    [bold]Examples[/]

      lookstream up
      LOOKSTREAM_PROFILE=cluster lookstream up --only query
    """
    from workers.config.settings import load_settings
    from workers.deploy.supervisor import WORKERS, Stack

    _exit_on_sigterm()
    settings = load_settings()
    names = [name.value for name in only] if only else WORKERS
    with Stack(settings, workers=names, report=say) as stack:
        stack.wait_ready()
        say(
            f"ready: Kafka {settings.kafka.servers}, Milvus {settings.milvus.address}, "
            f"logs in {settings.log_dir}"
        )
        say("next: lookstream produce examples/grocery; lookstream search PHOTO; Ctrl-C ends all")
        try:
            while True:
                stack.check()
                time.sleep(0.2)
        except KeyboardInterrupt:
            say("stopping")


def worker(name: Annotated[WorkerName, typer.Argument(help="Which worker.")]) -> None:
    """Run one worker in this process, until Ctrl-C or SIGTERM.

    [bold]Example[/]

      LOOKSTREAM_PROFILE=cluster lookstream worker ingest
    """
    from workers.deploy.signals import RUN
    from workers.config.settings import load_settings
    from workers.deploy.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings.log_level)
    RUN[name.value](settings)


def doctor(json: Json = False) -> None:
    """Say what is wrong with this set-up, and how to mend it.

    Looks at versions, settings, weights, the broker and its topics, Milvus and its collection.
    Ends with status 1 when something is wrong.
    """
    from workers.deploy.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not json:
            mark = "[green]✓[/]" if finding.good else "[red]✗[/]"
            out.print(f"{mark} [bold]{finding.what}[/]: ", end="")
            out.print(finding.state, markup=False, highlight=False, soft_wrap=True)
            if finding.remedy:
                out.print(f"  → {finding.remedy}", markup=False, highlight=False, soft_wrap=True)
    bad = [finding for finding in findings if not finding.good]
    finish({"healthy": not bad, "findings": [f.json() for f in findings]}, json)
    if bad:
        raise typer.Exit(1)


def _table(title: str, facts: list[tuple[str, str]]) -> object:
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="dim")
    table.add_column(justify="right", style="bold")
    for name, value in facts:
        table.add_row(name, value)
    return table


def _exit_on_sigterm() -> None:
    """Let SIGTERM unwind like Ctrl-C, so that every process started is ended."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
