"""Redriving dead letters: each once, however often the command is run.

Once the cause is fixed (a picture is back, a product was sent), the rejected records are published
to their topics again, under their own keys and times. First the records; then, when every replica
has them, the marks that they were redriven. A crash between the two sends up to `CHUNK` records
twice, which their versions make harmless; none is ever marked and not sent.
"""

from collections.abc import Callable, Collection, Iterable
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
    """What became of the letters that match the conditions."""

    sent: int = 0
    already: int = 0
    """Redriven earlier, or a second letter of the same record."""
    foreign: int = 0
    """Of a topic that is not of this deployment: not redriven."""


class RedriveMarks:
    """Which letters were redriven, according to the marks."""

    def __init__(self, marks: Iterable[Mark] = ()) -> None:
        self._marks: dict[tuple[str, int], int] = {}
        for one in marks:
            self.add(one)

    def add(self, one: Mark) -> None:
        """Add a mark."""
        place = (one.source, one.partition)
        self._marks[place] = max(one.offset, self._marks.get(place, -1))

    def cover(self, letter: DeadLetter) -> bool:
        """Whether the letter was redriven."""
        place = (letter.record.source, letter.partition)
        return letter.offset < self._marks.get(place, -1)


def read_redrive_marks(kafka: Kafka, topics: Topics) -> RedriveMarks:
    """The marks that the dead-letter topic holds now."""
    return RedriveMarks(
        one for one in read_letters_and_marks(kafka, topics) if isinstance(one, Mark)
    )


def redrive_letters(
    kafka: Kafka,
    topics: Topics,
    wanted: Condition,
    *,
    sources: Collection[str] = (),
    on_sent: Callable[[int], None] = lambda _count: None,
) -> Redriven:
    """Redrive the letters that `wanted` selects and that were not redriven yet; counts them.

    A record goes to the topic that it came from. One of `sources`, topics of other programs that
    catalog events are read from, goes to our catalog topic: whoever else reads those topics would
    take it for a change of now. `on_sent` gets the number sent so far. Raises `BrokerError` if
    Kafka does not confirm one: what was confirmed is marked, and the rest is sent the next time.
    """
    goes_to = dict.fromkeys(sources, topics.catalog.name)
    goes_to |= {topic.name: topic.name for topic in topics}
    marks, sent = read_redrive_marks(kafka, topics), set[str]()
    already = foreign = 0
    chunk: list[DeadLetter] = []
    with Publisher(kafka) as publisher:

        def send() -> None:
            for letter in chunk:
                redrive(publisher, letter, goes_to[letter.record.topic])
            publisher.flush()
            for letter in chunk:
                mark(publisher, topics, letter)
            publisher.flush()
            chunk.clear()
            on_sent(len(sent))

        for letter in filter(wanted, read_dead_letters(kafka, topics)):
            source = letter.record.source
            if letter.record.topic not in goes_to:
                foreign += 1
            elif marks.cover(letter) or source in sent:
                already += 1
            else:
                sent.add(source)
                chunk.append(letter)
                if len(chunk) == CHUNK:
                    send()
        send()
    return Redriven(sent=len(sent), already=already, foreign=foreign)


def conditions(texts: Iterable[str]) -> Condition:
    """A conjunction of `FIELD=VALUE`; `reason` matches a part of it, the others the whole.

    Raises `StreamError` for an unknown field.
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
