"""`lookstream worker NAME`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from index.errors import MilvusUnavailable, ModelMismatch
from models.errors import ModelError
from workers.errors import SettingsError

if TYPE_CHECKING:
    from workers.config.settings import Settings


class WorkerName(StrEnum):
    """The kinds of worker."""

    ingest = "ingest"
    query = "query"
    feedback = "feedback"
    web = "web"


def worker(name: Annotated[WorkerName, typer.Argument(help="Which worker.")]) -> None:
    """Run one worker in this process, until Ctrl-C or SIGTERM.

    [bold]Example[/]

      LOOKSTREAM_PROFILE=cluster lookstream worker ingest
    """
    from workers.config.settings import load_settings
    from workers.deploy.preflight import check_worker
    from workers.deploy.signals import exit_for_settings
    from workers.deploy.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings.log_level)
    check_worker(settings, name.value)
    try:
        _run(name, settings)
    except (ModelError, ModelMismatch, SettingsError) as error:
        exit_for_settings(error)


def _run(name: WorkerName, settings: Settings) -> None:
    from workers.deploy.signals import begin_again

    # Each worker imports only what it needs: no Faust but in ingest.
    match name:
        case WorkerName.ingest:
            from workers.ingest.worker import run_ingest

            _settle(settings)
            if run_ingest(settings):
                begin_again()
        case WorkerName.query:
            from workers.query.worker import run_query

            _settle(settings)
            run_query(settings)
        case WorkerName.feedback:
            from workers.feedback.worker import run_feedback

            run_feedback(settings)
        case WorkerName.web:
            from workers.web.worker import run_web

            run_web(settings)


def _settle(settings: Settings) -> None:
    """Complete or take back a promotion that was cut off: it decides which encoder to load."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

    from workers.deploy.signals import WAIT_FOR_INDEX_S
    from workers.jobs.promotion import interrupted, settle

    if interrupted(settings):
        asking = Retrying(
            retry=retry_if_exception_type(MilvusUnavailable),
            stop=stop_after_delay(WAIT_FOR_INDEX_S),
            wait=wait_fixed(0.5),
            reraise=True,
        )
        asking(settle, settings)
