"""The dead letters on the command line."""

from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from stream.connection import Kafka
from stream.dead_letter import DeadLetters
from stream.delivery import Rejection
from stream.errors import StreamError
from stream.records import Record, read_topic
from stream.topics import Topics
from workers.cli import app
from workers.errors import WorkerError


@pytest.fixture(autouse=True)
def letters(embedded: Kafka, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three letters, and a command line that finds them."""
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", embedded.bootstrap)
    monkeypatch.setenv("LOOKSTREAM_KAFKA__PREFIX", topics.catalog.name.removesuffix(".catalog"))
    box = DeadLetters(embedded, topics)
    for number, (key, error_class) in enumerate(
        [(b"a", "FetchError"), (None, "DecodeError"), (b"c", "FetchError")]
    ):
        record = Record(
            topic=topics.catalog.name,
            partition=0,
            offset=number,
            key=key,
            value=b"the bytes of %d" % number,
            timestamp_ms=1_700_000_000_000,
        )
        box.send(record, Rejection(f"[bold]reason[/] {number}", error_class), 2)


@pytest.fixture
def kafka(embedded: Kafka) -> Kafka:
    """The topics of these tests are on the embedded broker only."""
    return embedded


def lookstream(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["dlq", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return orjson.loads(done.stdout.splitlines()[-1])


def listed(*arguments: str) -> list[int]:
    return [letter["number"] for letter in lookstream("list", *arguments)["dead_letters"]]


@pytest.mark.slow
def test_list_redrive_list(kafka: Kafka, topics: Topics) -> None:
    assert listed() == [0, 1, 2]
    assert listed("--where", "error_class=FetchError", "--where", "key=c") == [2]
    fetches = ("--where", "error_class=FetchError")
    assert lookstream("redrive", *fetches) == {"sent": 2, "already": 0, "foreign": 0}
    assert lookstream("redrive", *fetches) == {"sent": 0, "already": 2, "foreign": 0}
    assert listed() == [1]
    assert listed("--all") == [0, 1, 2]
    assert len(list(read_topic(kafka, topics.catalog.name))) == 2


def test_show_has_the_bytes_and_the_reason() -> None:
    shown = lookstream("show", "1")
    assert (shown["value"], shown["error_class"]) == ("the bytes of 1", "DecodeError")
    assert (shown["reason"], shown["attempts"]) == ("[bold]reason[/] 1", 2)
    lookstream("redrive")
    for number in ("3", "99"):  # a mark, and nothing
        with pytest.raises(WorkerError, match=f"no dead letter {number}"):
            lookstream("show", number)


def test_a_list_for_people(capfd: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(app, ["dlq", "list", "--where", "key="], catch_exceptions=False)
    assert "(no key)  DecodeError: [bold]reason[/] 1" in done.stdout + capfd.readouterr().out


def test_a_condition_nobody_understands_is_refused() -> None:
    with pytest.raises(StreamError, match="FIELD one of error_class, key, topic, reason"):
        lookstream("list", "--where", "price=1")
