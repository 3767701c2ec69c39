"""Long work says how far it is: lines in a log by an injected clock, bars on a terminal."""

import io
import time

import pytest
from rich.console import Console

from workers.progress import lines as module
from workers.progress.bars import Bars
from workers.progress.lines import Lines
from workers.progress.open import open_progress
from workers.progress.tasks import Progress


class Clock:
    """A clock advanced by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(log: io.StringIO, clock: Clock) -> Lines:
    return Lines(log, clock, heartbeat=False)


def test_a_line_at_the_start_every_15_s_and_at_the_end(
    lines: Lines, log: io.StringIO, clock: Clock
) -> None:
    with lines, lines.task("encoding", 4500) as task:
        for second in range(1, 111):
            clock.now += 1
            task(min(4500, 41 * second))
    assert log.getvalue().splitlines() == [
        "encoding: 4,500",
        "encoding: 615 of 4,500 (13 %), 41/s, about 95 s left",
        "encoding: 1,230 of 4,500 (27 %), 41/s, about 80 s left",
        "encoding: 1,845 of 4,500 (41 %), 41/s, about 65 s left",
        "encoding: 2,460 of 4,500 (54 %), 41/s, about 50 s left",
        "encoding: 3,075 of 4,500 (68 %), 41/s, about 35 s left",
        "encoding: 3,690 of 4,500 (82 %), 41/s, about 20 s left",
        "encoding: 4,305 of 4,500 (95 %), 41/s, about 5 s left",
        "encoding: 4,500 in 110 s, 41/s",
    ]


def test_the_rate_is_that_of_the_last_minute(lines: Lines, log: io.StringIO, clock: Clock) -> None:
    with lines.task("encoding", 100_000) as task:
        for done in (1500, 3000, 4500, 6000, 7500, 7515, 7530, 7545, 7560, 7575):
            clock.now += 15
            task(done)
    said = log.getvalue().splitlines()
    assert said[5] == "encoding: 7,500 of 100,000 (7 %), 100/s, about 15 min left"
    assert said[10] == "encoding: 7,575 of 100,000 (7 %), 1.0/s, about 25.7 h left"


def test_work_that_reports_nothing_still_gets_its_lines(
    lines: Lines, log: io.StringIO, clock: Clock
) -> None:
    with lines.task("starting"), lines.task("reading") as reading:
        reading(12)
        clock.now += 15
        lines.beat()
        clock.now += 14
        lines.beat()
        clock.now += 1
        lines.beat()
    assert log.getvalue().splitlines() == [
        "starting",
        "reading",
        "starting: 15 s so far",
        "reading: 12, 0.8/s",
        "starting: 30 s so far",
        "reading: 12, 0.4/s",
        "reading: 12 in 30 s, 0.4/s",
        "starting: done in 30 s",
    ]


def test_what_stands_still_is_said_to(lines: Lines, log: io.StringIO, clock: Clock) -> None:
    task = lines.task("ingesting", 300)
    clock.now += 5
    task(100)
    for _ in range(7):
        clock.now += 15
        lines.beat()
    assert log.getvalue().splitlines()[-1] == (
        "ingesting: 100 of 300 (33 %), nothing new for 105 s"
    )


def test_what_was_done_before_counts_for_no_rate(
    lines: Lines, log: io.StringIO, clock: Clock
) -> None:
    show = lines.phases()
    show("making views", 4000, 4500)
    unknown = lines.task("rendering")
    unknown(800, 1000)
    clock.now += 15
    show("making views", 4030, 4500)
    unknown(830, 1000)
    assert log.getvalue().splitlines() == [
        "making views: 4,500",
        "rendering",
        "making views: 4,030 of 4,500 (89 %), 2.0/s, about 4 min left",
        "rendering: 830 of 1,000 (83 %), 2.0/s, about 85 s left",
    ]


def test_phases_end_when_all_is_done_and_may_come_again(
    lines: Lines, log: io.StringIO, clock: Clock
) -> None:
    show = lines.phases()
    for turn in (1, 2):
        show("stage", turn, 3)
        for done in (0, 50, 100):
            clock.now += 1
            show("validation", done, 100)
    show("stage", 3, 3)
    assert log.getvalue().splitlines() == [
        "stage: 3",
        "validation: 100",
        "validation: 100 in 2 s, 50/s",
        "validation: 100",
        "validation: 100 in 2 s, 50/s",
        "stage: 3 in 6 s, 0.33/s",
    ]


def test_an_error_says_where_it_stopped(lines: Lines, log: io.StringIO) -> None:
    def work() -> None:
        with lines, lines.task("sending", 10) as task:
            task(4)
            lines.task("starting")
            raise ValueError("no disk")

    with pytest.raises(ValueError, match="no disk"):
        work()
    assert log.getvalue().splitlines() == [
        "sending: 10",
        "starting",
        "sending: stopped at 4 of 10 (40 %)",
        "starting: stopped",
    ]


def test_names_may_change_on_the_way(lines: Lines, log: io.StringIO, clock: Clock) -> None:
    with lines.task("starting") as task:
        for name in ("starting the broker", "starting Milvus Lite"):
            task.rename(name)
            clock.now += 9
        lines.beat()
        lines.note("ready")
    assert log.getvalue().splitlines() == [
        "starting",
        "starting the broker",
        "starting Milvus Lite",
        "ready",
        "starting Milvus Lite: done in 18 s",
    ]


def test_items_are_counted_when_they_are_done_with(
    lines: Lines, log: io.StringIO, clock: Clock
) -> None:
    for item in lines.track("abc", "querying", 3):
        assert item in "abc"
        clock.now += 20
    assert log.getvalue().splitlines() == [
        "querying: 3",
        "querying: 1 of 3 (33 %), 0.05/s, about 40 s left",
        "querying: 2 of 3 (66 %), 0.05/s, about 20 s left",
        "querying: 3 of 3 (100 %), 0.05/s, about 0 s left",
        "querying: 3 in 60 s, 0.05/s",
    ]


def test_a_thread_keeps_the_lines_coming(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.03)
    with Lines(log) as lines, lines.task("loading"):
        deadline = time.monotonic() + 30
        while "loading: 0 s so far" not in log.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_terminal_gets_bars_and_the_line_of_what_ended(clock: Clock) -> None:
    screen = Terminal()
    console = Console(file=screen, force_terminal=True, width=100)
    with Bars(console, clock) as bars, bars.task("encoding", 8) as task:
        task(8)
        bars.note("a [remark]")
        clock.now += 4
    shown = screen.getvalue()
    assert "0/8" in shown
    assert "a [remark]" in shown
    assert "encoding: 8 in 4 s, 2.0/s" in shown


def test_bars_on_terminals_lines_elsewhere_nothing_when_quiet(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(open_progress(stream=Terminal()), Bars)
    assert isinstance(open_progress(stream=log), Lines)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(open_progress(stream=Terminal()), Lines)
    with open_progress(stream=log, quiet=True) as quiet, quiet.task("encoding", 3) as task:
        task(2)
        quiet.note("something")
    assert type(quiet) is Progress
    assert log.getvalue() == ""
