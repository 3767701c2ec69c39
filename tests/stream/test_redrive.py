"""Dead letters go back once each, and only those that were asked for."""

import pytest

from stream.connection import Kafka
from stream.dead_letter import DeadLetters, Mark, read_dead_letters, read_letters_and_marks
from stream.delivery import Record, Rejection
from stream.errors import BrokerError, StreamError
from stream.publisher import Publisher
from stream.records import read_topic
from stream.redrive import Redriven, conditions, read_redrive_marks, redrive_letters
from stream.topics import Topics


def refused(topic: str, offset: int, key: bytes | None = b"k") -> Record:
    return Record(
        topic=topic,
        partition=0,
        offset=offset,
        key=key,
        value=b"v%d" % offset,
        timestamp_ms=1_700_000_000_000 + offset,
        headers=(("mine", b"1"),),
    )


def bury(kafka: Kafka, topics: Topics, *letters: tuple[Record, str, str]) -> None:
    box = DeadLetters(kafka, topics)
    for record, error_class, reason in letters:
        box.send(record, Rejection(reason, error_class), 1)


def sent(kafka: Kafka, topics: Topics) -> list[bytes | None]:
    records = read_topic(kafka, topics.catalog.name)
    return [record.value for record in sorted(records, key=lambda record: record.timestamp_ms)]


@pytest.mark.slow
def test_each_letter_goes_once(kafka: Kafka, topics: Topics) -> None:
    catalog = topics.catalog.name
    bury(kafka, topics, *((refused(catalog, n), "FetchError", "away") for n in range(250)))
    bury(kafka, topics, (refused(catalog, 7), "FetchError", "away"))  # a letter written twice
    bury(kafka, topics, (refused("another.catalog", 1), "FetchError", "away"))
    told: list[int] = []
    done = redrive_letters(kafka, topics, conditions([]), on_sent=told.append)
    assert done == Redriven(sent=250, already=1, foreign=1)
    assert told == [100, 200, 250]
    assert sent(kafka, topics) == [b"v%d" % n for n in range(250)]
    assert redrive_letters(kafka, topics, conditions([])) == Redriven(already=251, foreign=1)
    assert len(sent(kafka, topics)) == 250
    (first, *_) = read_topic(kafka, catalog)
    assert first.headers == (("mine", b"1"),)
    letters = list(read_dead_letters(kafka, topics))
    assert len(letters) == 252, "marks are no letters"
    marks = read_redrive_marks(kafka, topics)
    assert [marks.cover(letter) for letter in letters] == [True] * 251 + [False]


@pytest.mark.slow
def test_a_record_refused_once_more_is_a_new_letter(kafka: Kafka, topics: Topics) -> None:
    record = refused(topics.catalog.name, 5)
    bury(kafka, topics, (record, "FetchError", "away"))
    redrive_letters(kafka, topics, conditions([]))
    bury(kafka, topics, (record, "FetchError", "still away"))
    assert redrive_letters(kafka, topics, conditions([])) == Redriven(sent=1, already=1)
    assert sent(kafka, topics) == [b"v5", b"v5"]


def test_only_what_was_asked_for(kafka: Kafka, topics: Topics) -> None:
    catalog, query = topics.catalog.name, topics.query.name
    bury(
        kafka,
        topics,
        (refused(catalog, 0, b"a"), "FetchError", "https://shop.example/a.jpg answered 500"),
        (refused(catalog, 1, b"b"), "FetchError", "the file is missing"),
        (refused(catalog, 2, None), "DecodeError", "the message is empty"),
        (refused(query, 3, b"a"), "DecodeError", "field `image`"),
    )

    def found(*texts: str) -> list[int]:
        wanted = conditions(texts)
        return [one.record.offset for one in read_dead_letters(kafka, topics) if wanted(one)]

    assert found("error_class=FetchError") == [0, 1]
    assert found("key=a") == [0, 3]
    assert found("key=") == [2]
    assert found("topic=catalog") == found(f"topic={catalog}") == [0, 1, 2]
    assert found("reason=SHOP.example") == [0]
    assert found("error_class=DecodeError", "topic=query") == [3]
    assert found("error_class=Fetch") == []
    wanted = conditions(["error_class=FetchError", "key=b"])
    assert redrive_letters(kafka, topics, wanted) == Redriven(sent=1)
    assert sent(kafka, topics) == [b"v1"]
    rest = redrive_letters(kafka, topics, conditions(["topic=catalog"]))
    assert rest == Redriven(sent=2, already=1)


@pytest.mark.slow
def test_a_crash_between_sending_and_marking_loses_nothing(
    kafka: Kafka, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(kafka, topics, *((refused(topics.catalog.name, n), "E", "r") for n in range(3)))
    with monkeypatch.context() as patch:

        def crash(*_: object) -> None:
            raise BrokerError("the broker went away")

        patch.setattr("stream.redrive.mark", crash)
        with pytest.raises(BrokerError):
            redrive_letters(kafka, topics, conditions([]))
    assert not [one for one in read_letters_and_marks(kafka, topics) if isinstance(one, Mark)]
    assert redrive_letters(kafka, topics, conditions([])).sent == 3
    assert set(sent(kafka, topics)) == {b"v0", b"v1", b"v2"}


def test_a_letter_of_another_program_is_left_alone(kafka: Kafka, topics: Topics) -> None:
    with Publisher(kafka) as publisher:
        publisher.publish(topics.dead_letter.name, None, b"?", [("dlq.offset", b"many")])
    assert redrive_letters(kafka, topics, conditions([])) == Redriven(foreign=1)


@pytest.mark.parametrize("text", ["price=1", "reason", "=x", ""])
def test_a_condition_nobody_understands_is_refused(text: str) -> None:
    with pytest.raises(StreamError, match="error_class, key, topic, reason"):
        conditions([text])
