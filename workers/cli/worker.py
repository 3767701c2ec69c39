"""`lookstream worker NAME`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class WorkerName(StrEnum):
    """The kinds of worker."""

    ingest = "ingest"
    query = "query"
    feedback = "feedback"


def worker(name: Annotated[WorkerName, typer.Argument(help="Which worker.")]) -> None:
    """Run one worker in this process, until Ctrl-C or SIGTERM.

    [bold]Example[/]

      LOOKSTREAM_PROFILE=cluster lookstream worker ingest
    """
    from workers.config.settings import load_settings
    from workers.deploy.preflight import check_worker
    from workers.deploy.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings.log_level)
    check_worker(settings, name.value)
    # Each worker imports only what it needs: no Faust in query and feedback.
    match name:
        case WorkerName.ingest:
            from workers.ingest.worker import run_ingest

            run_ingest(settings)
        case WorkerName.query:
            from workers.query.worker import run_query

            run_query(settings)
        case WorkerName.feedback:
            from workers.feedback.worker import run_feedback

            run_feedback(settings)
