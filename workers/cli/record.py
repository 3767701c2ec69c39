"""`lookstream record TOPIC`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.console import Json, Quiet, finish, say
from workers.cli.replay_source import End, Start
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from stream.records import Record
    from workers.progress.tasks import Progress


def record(
    names: Annotated[
        list[str], typer.Argument(help="Topics: catalog, query, …, or their full names.")
    ],
    to: Annotated[Path, typer.Option("--out", help="The file.")],
    start: Start = "BEGINNING",
    end: End = "NOW",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write a span of topics to a file that `lookstream replay --file` and tests replay.

    One record a line, as JSON; bytes that are not UTF-8 as {"base64": …}.

    [bold]Example[/]

      lookstream record catalog query --out stream.jsonl
    """
    from stream.connection import check_broker
    from stream.record_file import write_recording
    from stream.span_reader import SpanReader, parse_span
    from workers.config.settings import load_settings
    from workers.config.wiring import kafka_of, topics_of

    settings, span = load_settings(), parse_span(start, end)
    short = {topic.name.rpartition(".")[2]: topic.name for topic in topics_of(settings)}
    kafka = kafka_of(settings)
    check_broker(kafka)

    def records(bars: Progress) -> Iterator[Record]:
        for name in names:
            topic = short.get(name, name)
            group = f"{settings.kafka.prefix}-record"
            with (
                SpanReader(kafka, topic, span, group=group) as reader,
                bars.task(f"recording {topic}", reader.total) as task,
            ):
                for count, one in enumerate(reader, start=1):
                    task(count, max(count, reader.total))
                    yield one

    with open_progress(quiet=quiet) as bars:
        count = write_recording(records(bars), to)
    say(f"{count} records written to {to}")
    finish({"records": count, "out": str(to)}, json)
