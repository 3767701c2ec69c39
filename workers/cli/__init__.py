"""The command line: `lookstream COMMAND`. Commands import what they need when they run."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

import typer
from rich.text import Text

from index.errors import SearchIndexError
from models.errors import ModelError
from stream.errors import StreamError
from workers.cli import (
    adapt,
    bench,
    curate,
    demo,
    dlq,
    doctor,
    evaluate,
    generations,
    juice,
    keys,
    lag,
    map_source,
    models,
    plan,
    produce,
    prototypes,
    record,
    reindex,
    replay,
    schema,
    search,
    suggest,
    synthesize,
    train,
    up,
    worker,
)
from workers.cli.console import err
from workers.cli.extras import missing_extra
from workers.errors import WorkerError
from workers.terminal.printable import printable

# Our own errors say what to do; anything else is a bug and keeps its traceback.
EXPECTED = (WorkerError, StreamError, SearchIndexError, ModelError)

app = typer.Typer(
    help="Visual product search that is always up to date.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(up.up)
app.command()(doctor.doctor)
app.command()(lag.lag)
app.command()(plan.plan)
app.command()(produce.produce)
app.command("map")(map_source.propose_map)
app.command()(search.search)
app.command()(evaluate.evaluate)
app.command()(adapt.adapt)
app.command()(suggest.suggest)
app.command()(curate.curate)
app.command()(juice.juice)
app.command()(synthesize.studio)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    bench.bench
)
app.command()(worker.worker)
app.command()(keys.keys)
app.command()(schema.schema)
app.add_typer(train.train, name="train")
app.add_typer(models.app, name="models")
app.add_typer(prototypes.app, name="prototypes")
app.add_typer(dlq.dlq, name="dlq")
app.command()(replay.replay)
app.command()(record.record)
app.command()(reindex.reindex)
app.add_typer(generations.app, name="generations")


@app.callback()
def logs() -> None:
    """Whatever the command, its log lines are no part of its result; a worker sets up its own."""
    from workers.terminal.log_lines import log_to_stderr

    log_to_stderr()


def main() -> None:
    """Run the command line; expected errors become one line and exit status 1."""
    # gRPC logs pings to standard error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # librdkafka logs each failed connection attempt; our errors report it once. Workers log it all.
    logging.getLogger("librdkafka").propagate = False
    logging.getLogger("librdkafka").addHandler(logging.NullHandler())
    try:
        app()
    except EXPECTED as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if (sentence := missing_extra(error)) is None:
            raise
        _fail(sentence)


def _fail(sentence: str) -> NoReturn:
    # Lines stay: the end of a log may be part of it.
    line = Text.assemble(("error:", "bold red"), " ", printable(sentence, lines=True))
    err.print(line, soft_wrap=True)
    sys.exit(1)
