"""One change at a time, between processes as between openers of one file."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from index.errors import ChangeUnderWay
from index.lifecycle.locks import POLL_S, one_change


def test_without_patience_another_change_is_an_error(tmp_path: Path) -> None:
    with (
        one_change(tmp_path),
        pytest.raises(ChangeUnderWay, match="try again"),
        one_change(tmp_path),
    ):
        raise AssertionError
    with one_change(tmp_path):
        pass


def test_another_change_is_waited_for(tmp_path: Path) -> None:
    other, waits = ExitStack(), 0
    other.enter_context(one_change(tmp_path))

    def sleep(seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            other.close()

    with (
        capture_logs() as said,
        one_change(tmp_path, patience_s=60, sleep=sleep),
        pytest.raises(ChangeUnderWay),
        one_change(tmp_path),
    ):
        raise AssertionError
    assert waits == 3
    assert [line["event"].partition(":")[0] for line in said] == ["waiting"]


def test_patience_ends(tmp_path: Path) -> None:
    waited: list[float] = []
    with (
        one_change(tmp_path),
        pytest.raises(ChangeUnderWay),
        one_change(tmp_path, patience_s=1, sleep=waited.append),
    ):
        raise AssertionError
    assert sum(waited) == pytest.approx(1, abs=POLL_S)
