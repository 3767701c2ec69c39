"""Sending dead letters again: each once, however often it is asked for.

What was wrong is mended (a picture is back, a product was sent), so the refused records go back to
their topics under their own keys and times. First the records, then, when every replica has them,
the marks that they went. A crash between the two sends up to `CHUNK` records twice, which their
versions make harmless; none is ever marked and not sent.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stream.connection import Kafka
from stream.dead_letter import (
    DeadLetter,
    Mark,
    mark,
    read_dead_letters,
    read_letters_and_marks,
    redrive,
)
from stream.errors import StreamError
from stream.publisher import Publisher
from stream.topics import Topics

CHUNK = 100

Condition = Callable[[DeadLetter], bool]
FIELDS: dict[str, Callable[[DeadLetter, str], bool]] = {
    "error_class": lambda letter, wanted: letter.error_class == wanted,
    "key": lambda letter, wanted: (letter.record.key or b"") == wanted.encode(),
    "topic": lambda letter, wanted: (
        wanted in {letter.record.topic, letter.record.topic.rpartition(".")[2]}
    ),
    "reason": lambda letter, wanted: wanted.casefold() in letter.reason.casefold(),
}


@dataclass(frozen=True, kw_only=True)
class Redriven:
    """What became of the letters that were asked for."""

    sent: int = 0
    already: int = 0
    """Sent by an earlier redrive, or a second letter of the same record."""
    foreign: int = 0
    """Of no topic of this deployment: left where they are."""


class Redrives:
    """Which letters were sent again, as the marks say."""

    def __init__(self, marks: Iterable[Mark] = ()) -> None:
        self._marks: dict[tuple[str, int], int] = {}
        for one in marks:
            self.add(one)

    def add(self, one: Mark) -> None:
        """Take note of a mark."""
        place = (one.source, one.partition)
        self._marks[place] = max(one.offset, self._marks.get(place, -1))

    def cover(self, letter: DeadLetter) -> bool:
        """Whether the letter was sent again."""
        place = (letter.record.source, letter.partition)
        return letter.offset < self._marks.get(place, -1)


def read_redrives(kafka: Kafka, topics: Topics) -> Redrives:
    """The marks that are in the dead-letter topic now."""
    return Redrives(one for one in read_letters_and_marks(kafka, topics) if isinstance(one, Mark))


def redrive_letters(
    kafka: Kafka,
    topics: Topics,
    wanted: Condition,
    *,
    on_sent: Callable[[int], None] = lambda _count: None,
) -> Redriven:
    """Send the wanted letters again that were not yet, and count them.

    `on_sent` is told how many went so far. Raises `BrokerError` if Kafka does not confirm one:
    what was confirmed is marked, and the rest goes the next time.
    """
    ours = {topic.name for topic in topics}
    redrives, gone = read_redrives(kafka, topics), set[str]()
    already = foreign = 0
    chunk: list[DeadLetter] = []
    with Publisher(kafka) as publisher:

        def send() -> None:
            for letter in chunk:
                redrive(publisher, letter)
            publisher.flush()
            for letter in chunk:
                mark(publisher, topics, letter)
            publisher.flush()
            chunk.clear()
            on_sent(len(gone))

        for letter in filter(wanted, read_dead_letters(kafka, topics)):
            source = letter.record.source
            if letter.record.topic not in ours:
                foreign += 1
            elif redrives.cover(letter) or source in gone:
                already += 1
            else:
                gone.add(source)
                chunk.append(letter)
                if len(chunk) == CHUNK:
                    send()
        send()
    return Redriven(sent=len(gone), already=already, foreign=foreign)


def conditions(texts: Iterable[str]) -> Condition:
    """All of `FIELD=VALUE` at once; `reason` looks for a part of it, the others for the whole.

    Raises `StreamError` for a field that letters don't have.
    """
    pairs = []
    for text in texts:
        field, equals, value = text.partition("=")
        if field not in FIELDS or not equals:
            raise StreamError(
                f"{text!r} is no condition: write FIELD=VALUE, FIELD one of {', '.join(FIELDS)}"
            )
        pairs.append((FIELDS[field], value))
    return lambda letter: all(holds(letter, value) for holds, value in pairs)
