"""The dead-letter topic, for people: dlq list, dlq show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.console import Json, finish, out, say
from workers.errors import WorkerError

if TYPE_CHECKING:
    from stream.dead_letter import DeadLetter

dlq = typer.Typer(help="What could not be applied, and why.", no_args_is_help=True)
SHOWN_BYTES = 2000


@dlq.command("list")
def list_letters(json: Json = False) -> None:
    """List the dead letters, oldest first.

    [bold]Example[/]

      lookstream dlq list
    """
    letters = list(_letters())
    if not json:
        for letter in letters:
            out.print(
                f"{letter.offset:>5}  {letter.record.source}  "
                f"{(letter.record.key or b'').decode(errors='replace') or '(no key)'}  "
                f"{letter.error_class}: {letter.reason}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        say(
            f"{len(letters)} dead letters" + ("; see one: lookstream dlq show N" if letters else "")
        )
    finish({"dead_letters": [_plain(letter) for letter in letters]}, json)


@dlq.command()
def show(
    number: Annotated[int, typer.Argument(help="The first column of `dlq list`.")],
    json: Json = False,
) -> None:
    """Show one dead letter whole: the reason, where it came from, and the original bytes."""
    letter = next((one for one in _letters() if one.offset == number), None)
    if letter is None:
        raise WorkerError(f"there is no dead letter {number}: see `lookstream dlq list`")
    plain = _plain(letter)
    value = (letter.record.value or b"").decode(errors="replace")
    if not json:
        for name, said in plain.items():
            out.print(f"{name:<12} {said}", markup=False, highlight=False, soft_wrap=True)
        cut = value[:SHOWN_BYTES] + (" …" if len(value) > SHOWN_BYTES else "")
        out.print(cut, markup=False, highlight=False, soft_wrap=True)
    finish({**plain, "value": value}, json)


def _letters() -> Iterator[DeadLetter]:
    from stream.connection import check_broker
    from stream.dead_letter import read_dead_letters
    from workers.rooms import kafka_of, topics_of
    from workers.settings import load_settings

    settings = load_settings()
    check_broker(kafka_of(settings), 5.0)
    return read_dead_letters(kafka_of(settings), topics_of(settings))


def _plain(letter: DeadLetter) -> dict[str, Any]:
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
