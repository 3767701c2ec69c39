"""Who promotes an index holds the ingest worker back, and nothing stays so after a crash."""

import subprocess
import sys
from pathlib import Path

import pytest

from workers.deploy.ingest_pause import NAME, PATIENCE_S, ingest_is_paused, paused_ingest
from workers.errors import SettingsError


def test_it_waits_until_the_worker_has_ended(tmp_path: Path) -> None:
    waited: list[float] = []

    def running() -> str:
        assert ingest_is_paused(tmp_path)
        return "" if len(waited) == 3 else "at port 1"

    assert not ingest_is_paused(tmp_path)
    with paused_ingest(tmp_path, running, waited.append):
        assert len(waited) == 3
        assert ingest_is_paused(tmp_path)
    assert not ingest_is_paused(tmp_path)


def test_a_worker_that_does_not_end_is_named(tmp_path: Path) -> None:
    waited: list[float] = []
    with (
        pytest.raises(SettingsError, match=r"\(at port 1\) did not end"),
        paused_ingest(tmp_path, lambda: "at port 1", waited.append),
    ):
        pass
    assert sum(waited) == pytest.approx(PATIENCE_S, abs=1)
    assert not ingest_is_paused(tmp_path)


def test_one_at_a_time(tmp_path: Path) -> None:
    with (
        paused_ingest(tmp_path, lambda: ""),
        pytest.raises(SettingsError, match="another command"),
        paused_ingest(tmp_path, lambda: ""),
    ):
        pass


def test_a_process_that_is_killed_holds_nothing_back(tmp_path: Path) -> None:
    program = (
        "import fcntl, sys, time\n"
        "file = open(sys.argv[1], 'a+')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / NAME)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert ingest_is_paused(tmp_path)
        process.kill()
    assert not ingest_is_paused(tmp_path)
