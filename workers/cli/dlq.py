"""`lookstream dlq`: list, show and redrive dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.console import Json, Quiet, finish, out, print_line, say
from workers.errors import WorkerError
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from stream.connection import Kafka
    from stream.dead_letter import DeadLetter
    from stream.topics import Topics

dlq = typer.Typer(help="What could not be applied, and why.", no_args_is_help=True)
SHOWN_BYTES = 2000

Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE",
        help="Only letters whose error_class, key, topic, or part of the reason is this; "
        "repeatable, all must hold.",
    ),
]


@dlq.command("list")
def list_letters(
    where: Where = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that were sent again.")
    ] = False,
    json: Json = False,
) -> None:
    """List the dead letters, oldest first.

    [bold]Examples[/]

      lookstream dlq list
      lookstream dlq list --where error_class=FetchError --where reason=shop.example
    """
    from stream.dead_letter import Mark, read_letters_and_marks
    from stream.redrive import RedriveMarks, conditions

    wanted, marks = conditions(where or ()), RedriveMarks()
    found: list[tuple[DeadLetter, dict[str, Any]]] = []
    for one in read_letters_and_marks(*_kafka()):
        if isinstance(one, Mark):
            marks.add(one)
        elif wanted(one):
            found.append((_without_value(one), _fields(one)))
    letters = [
        plain | {"redriven": marks.cover(letter)}
        for letter, plain in found
        if everything or not marks.cover(letter)
    ]
    if not json:
        for letter in letters:
            print_line(
                f"{letter['number']:>5}  {letter['source']}  {letter['key'] or '(no key)'}  "
                f"{letter['error_class']}: {letter['reason']}"
                f"{'  (sent again)' if letter['redriven'] else ''}"
            )
        hints = "; see one: lookstream dlq show N; send again: lookstream dlq redrive"
        say(f"{len(letters)} dead letters" + (hints if letters else ""))
    finish({"dead_letters": letters}, json)


@dlq.command()
def show(
    number: Annotated[int, typer.Argument(help="The first column of `dlq list`.", min=0)],
    json: Json = False,
) -> None:
    """Show one dead letter: the reason, its source, and the original bytes."""
    from stream.dead_letter import MARK, parse
    from stream.span_reader import Offset, Span, SpanReader

    kafka, topics = _kafka()
    span = Span(Offset(number), Offset(number + 1))
    with SpanReader(kafka, topics.dead_letter.name, span, group="unused") as reader:
        records = [one for one in reader if MARK not in dict(one.headers)]
    if not records:
        raise WorkerError(f"there is no dead letter {number}: see `lookstream dlq list`")
    letter = parse(records[0])
    plain = _fields(letter)
    content = (letter.record.value or b"").decode(errors="replace")
    if not json:
        for name, value in plain.items():
            print_line(f"{name:<12} {value}")
        cut = content[:SHOWN_BYTES] + (" …" if len(content) > SHOWN_BYTES else "")
        out.print(cut, soft_wrap=True)
    finish({**plain, "value": content}, json)


@dlq.command()
def redrive(where: Where = None, quiet: Quiet = False, json: Json = False) -> None:
    """Send dead letters to their topics again, once the cause is fixed.

    Each is sent once: a letter that was redriven before is only counted. One that is rejected
    again comes back as a new letter.

    [bold]Examples[/]

      lookstream dlq redrive --where error_class=UnknownProduct
      lookstream dlq redrive --where key=4711 --where topic=catalog
    """
    from stream.redrive import conditions, redrive_letters
    from workers.config.settings import load_settings

    wanted = conditions(where or ())
    kafka, topics = _kafka()
    sources = load_settings().catalog.topics
    with open_progress(quiet=quiet) as bars, bars.task("sending again") as task:
        done = redrive_letters(kafka, topics, wanted, sources=sources, on_sent=task)
    say(
        f"{done.sent} sent again, {done.already} had been before"
        + (f", {done.foreign} of other topics left alone" if done.foreign else "")
    )
    finish({"sent": done.sent, "already": done.already, "foreign": done.foreign}, json)


def _kafka() -> tuple[Kafka, Topics]:
    from stream.connection import check_broker
    from workers.config.settings import load_settings
    from workers.config.wiring import kafka_of, topics_of

    settings = load_settings()
    check_broker(kafka_of(settings))
    return kafka_of(settings), topics_of(settings)


def _without_value(letter: DeadLetter) -> DeadLetter:
    """The letter without its content: a list of thousands would hold as many pictures."""
    from dataclasses import replace

    return replace(letter, record=replace(letter.record, value=None, headers=()))


def _fields(letter: DeadLetter) -> dict[str, Any]:
    return {
        "number": letter.offset,
        "source": letter.record.source,
        "key": (letter.record.key or b"").decode(errors="replace"),
        "error_class": letter.error_class,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "trace_id": letter.trace_id,
        "bytes": len(letter.record.value or b""),
    }
