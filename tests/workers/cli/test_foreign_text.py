"""Titles, keys and reasons of others on a terminal: no command lets an escape sequence through."""

import io
import logging
import sys
from collections.abc import Iterator
from typing import Any, Self

import orjson
import pytest
import structlog
from rich.progress import TextColumn
from typer.testing import CliRunner

from stream import connection, request_reply
from stream.connection import Kafka
from stream.dead_letter import DeadLetters
from stream.delivery import Rejection
from stream.messages import Query, Result, ResultItem
from stream.records import Record
from stream.topics import Topics
from tests.workers.terminal.test_printable import harmful
from workers import cli
from workers.cli.replay import _summarize
from workers.cli.search import price_text
from workers.deploy import doctor
from workers.deploy.telemetry import configure_logging
from workers.errors import SettingsError
from workers.jobs.build import Replayed
from workers.progress.bars import Bars
from workers.terminal.console import SafeConsole
from workers.terminal.log_lines import log_to_stderr

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\nerror: \u202e\u2028[bold red]"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b31m\r\nerror: \u202e\u2028[bold red]"


@pytest.fixture
def kafka(embedded: Kafka) -> Kafka:
    """The letters of these tests are on the embedded broker only."""
    return embedded


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    return done.output


def check(output: str) -> None:
    """The text was printed, and nothing in it but line ends controls a terminal."""
    assert harmful(output) <= {"\n"}
    assert SHOWN in output


class _Answering:
    """A client that finds one product with a hostile title."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def search(self, query: Query) -> Result:
        item = ResultItem(
            product_id="p",
            item_id="p#0",
            probability=0.5,
            level=0,
            position=1,
            title=HOSTILE,
            category=(HOSTILE,),
            price=1299000.0,
            currency=HOSTILE,
        )
        return Result(query_id=query.query_id, items=(item,))


@pytest.mark.parametrize("json", [False, True])
def test_search(monkeypatch: pytest.MonkeyPatch, json: bool) -> None:
    monkeypatch.setattr(connection, "check_broker", lambda *_: 1)
    monkeypatch.setattr(request_reply, "Client", _Answering)
    output = shown("search", "--text", "apple", *(["--json"] if json else []))
    if json:
        assert harmful(output) <= {"\n"}
        assert orjson.loads(output)["items"][0]["title"] == HOSTILE
    else:
        check(output)
        assert output.count("\n") == 1
        assert "  1299000 " in output


def test_dead_letters(kafka: Kafka, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("LOOKSTREAM_KAFKA__PREFIX", topics.catalog.name.removesuffix(".catalog"))
    record = Record(
        topic=topics.catalog.name,
        partition=0,
        offset=0,
        key=HOSTILE.encode(),
        value=b'{"title": "' + HOSTILE.replace("\r\n", "").encode() + b'",\n"price": 1}',
        timestamp_ms=0,
    )
    DeadLetters(kafka, topics).send(record, Rejection(HOSTILE, HOSTILE), 1)
    listed = shown("dlq", "list")
    check(listed)
    assert listed.count(SHOWN) == 3
    letter = shown("dlq", "show", "0")
    check(letter)
    assert '\n"price": 1}' in letter


@pytest.mark.parametrize("command", ["produce", "evaluate"])
def test_a_folder_that_is_not_there(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "check_broker", lambda *_: 1)
    check_error([command, "shop\x1b[2J"], monkeypatch, r"shop\x1b[2J")


def test_an_error_of_any_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise SettingsError(HOSTILE)

    monkeypatch.setattr(cli, "app", fail)
    check_error([], monkeypatch, SHOWN.replace(r"\n", "\n"))


def check_error(arguments: list[str], monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """The command line ends with an error, harmless, that has these words."""
    heard = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["lookstream", *arguments])
    monkeypatch.setattr(sys, "stderr", heard)
    with pytest.raises(SystemExit):
        cli.main()
    assert words in heard.getvalue()
    assert harmful(heard.getvalue()) <= {"\n"}


def test_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = doctor.Finding(HOSTILE, False, HOSTILE, HOSTILE)
    monkeypatch.setattr(doctor, "examine", lambda: [finding])
    output = shown("doctor")
    check(output)
    assert output.count(SHOWN) == 3


def test_replay(capfd: pytest.CaptureFixture[str]) -> None:
    replayed = Replayed(read=1, refused=1, seconds=1.0)
    replayed.refusals.append({"source": HOSTILE, "error_class": HOSTILE, "reason": HOSTILE})
    _summarize("products", replayed, "applied")
    check(capfd.readouterr().err)


def test_bars() -> None:
    file = io.StringIO()
    bars = Bars(SafeConsole(file=file))
    bars.note(HOSTILE)
    bars.task(HOSTILE)
    task = bars._rich.tasks[0]
    described = next(one for one in bars._rich.columns if isinstance(one, TextColumn)).render(task)
    assert described.plain == SHOWN
    check(file.getvalue())


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("root_logger")
def test_logs_of_a_command_are_no_part_of_its_result(capfd: pytest.CaptureFixture[str]) -> None:
    log_to_stderr()
    structlog.get_logger().info(HOSTILE, why=HOSTILE)
    written = capfd.readouterr()
    assert written.out == ""
    check(written.err)


@pytest.mark.usefixtures("root_logger")
def test_logs_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure_logging("info")

    def lines(log: Any) -> str:
        log()
        written = terminal.getvalue()
        terminal.seek(0)
        terminal.truncate()
        return written

    own_colours = {"\n", "\x1b"}
    plain = logging.getLogger("a library")
    for log in (
        lambda: structlog.get_logger().warning("rejected", why=HOSTILE, of=[HOSTILE]),
        lambda: structlog.get_logger().warning(HOSTILE),
        lambda: plain.warning("rejected: %s", HOSTILE),
    ):
        written = lines(log)
        assert harmful(written) <= own_colours
        assert "\x1b]0" not in written
        assert "\x1b[2J" not in written
        assert r"x1b]0;owned\x07" in written.replace("\\\\", "\\")

    def with_traceback() -> None:
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            plain.exception("failed")

    written = lines(with_traceback)
    assert harmful(written) <= own_colours
    assert r"ValueError: \x1b]0;owned\x07\x1b[2J" in written


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (1299000.0, "1299000"),
        (1e9, "1000000000"),
        (0.0, "0"),
        (1.9, "1.90"),
        (12.5, "12.50"),
        (1299000.99, "1299000.99"),
        (0.1 + 0.2, "0.30"),
        (1.305, "1.305"),
        (0.0045, "0.0045"),
        (1e-7, "0.0000001"),
        (100, "100"),
        (1e300, "1e+300"),
    ],
)
def test_prices_are_written_as_shops_do(price: float, text: str) -> None:
    assert price_text(price) == text
