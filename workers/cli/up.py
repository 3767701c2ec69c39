"""`lookstream up`."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import Quiet, exit_on_sigterm, say
from workers.cli.worker import WorkerName
from workers.progress.open import open_progress

GROCERY = Path("examples/grocery")


def up(
    only: Annotated[
        list[WorkerName] | None, typer.Option(help="Start only these workers; repeatable.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Run broker, index and workers until Ctrl-C.

    A Kafka or Milvus that is not embedded is used where it is. Restarts workers that end.

    [bold]Examples[/]

      lookstream up
      LOOKSTREAM_PROFILE=cluster lookstream up --only query
    """
    from workers.config.settings import load_settings
    from workers.deploy.signals import stop_flag
    from workers.deploy.supervisor import WORKERS, Stack

    exit_on_sigterm()
    settings = load_settings()
    names = [name.value for name in only] if only else WORKERS
    with ExitStack() as running:
        with open_progress(quiet=quiet) as bars, bars.task("starting") as task:
            stack = running.enter_context(Stack(settings, workers=names, report=task.rename))
            stack.wait_ready()
        stack.report = say
        # From here on a signal sets a flag: an exception may be raised where it is lost, in a
        # destructor for instance.
        stopping = stop_flag()
        say(
            f"ready: Kafka {settings.kafka.servers}, Milvus {settings.milvus.address}, "
            f"logs in {settings.log_dir}"
        )
        if "web" in names:
            say(f"the page: http://{settings.web.host}:{settings.web.port}")
        say("next: lookstream produce examples/grocery; lookstream search PHOTO; Ctrl-C ends all")
        while not stopping():
            stack.check()
            time.sleep(0.2)
        say("stopping")
