"""`lookstream produce --complete` on a running deployment: counts, refusals and dry runs."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.workers.cli.test_produce import produce, settings, worker, write
from workers.catalog_index import CatalogIndex
from workers.cli import app
from workers.config.settings import Settings
from workers.errors import TooManyDeletes

__all__ = ["settings", "worker"]

pytestmark = pytest.mark.slow

IDS = [f"p{number}" for number in range(10)]


@pytest.fixture(autouse=True)
def index(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line finds the index too."""
    monkeypatch.setenv("LOOKSTREAM_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("LOOKSTREAM_MILVUS__URI", settings.milvus.uri)
    monkeypatch.setenv("LOOKSTREAM_MILVUS__KIND", settings.milvus.kind)


def rows(*ids: str) -> list[dict[str, Any]]:
    return [{"product_id": one, "title": one} for one in ids]


def found(worker: CatalogIndex) -> set[str]:
    return {item.product_id for item in worker.stored(IDS) if not item.is_tombstone}


def test_what_the_folder_no_longer_names_is_deleted(tmp_path: Path, worker: CatalogIndex) -> None:
    report, done = produce(write(tmp_path / "monday", *rows(*IDS)), "--complete")
    assert done.exit_code == 0, done.output
    assert report["complete"]["missing"] == 0
    tuesday = write(tmp_path / "tuesday", *rows(*IDS[2:]))
    rehearsed, done = produce(tuesday, "--complete", "--dry-run")
    assert done.exit_code == 0
    assert (rehearsed["dry_run"], rehearsed["would_send"], rehearsed["sent"]) == (True, 8, 0)
    assert rehearsed["complete"] == {
        "known": 10,
        "missing": 2,
        "share": 0.2,
        "first": ["p0", "p1"],
        "allowed": True,
    }
    assert "would delete 2 of 10 products (20.0 %):\n  p0\n  p1\n" in done.stderr
    assert found(worker) == set(IDS)
    report, done = produce(tuesday, "--complete")
    assert done.exit_code == 0, done.output
    complete = report["complete"]
    assert (complete["deletes_sent"], complete["deleted"], complete["superseded"]) == (2, 2, 0)
    assert (report["events"], report["applied"], report["refused"]) == (8, 8, 0)
    assert found(worker) == set(IDS[2:])
    again, _ = produce(tuesday, "--complete")
    assert (again["complete"]["known"], again["complete"]["deletes_sent"]) == (8, 0)


def test_more_than_a_fifth_is_refused_and_nothing_is_sent(
    tmp_path: Path, worker: CatalogIndex
) -> None:
    produce(write(tmp_path / "monday", *rows(*IDS)))
    cut = write(tmp_path / "cut", *rows(*IDS[7:], "new"))

    def refused(*options: str) -> Result:
        return CliRunner().invoke(app, ["produce", str(cut), "--quiet", *options])

    done = refused("--complete")
    assert isinstance(done.exception, TooManyDeletes)
    assert "7 of 10 products (70.0 %)" in str(done.exception)
    assert "--delete-share 0.7" in str(done.exception)
    assert isinstance(refused("--complete", "--delete-share", "0.6").exception, TooManyDeletes)
    assert found(worker) == set(IDS)
    assert not worker.stored(["new"])
    rehearsed, done = produce(cut, "--complete", "--dry-run")
    assert rehearsed["complete"]["allowed"] is False
    assert "that would be refused" in done.stderr
    report, _ = produce(cut, "--complete", "--delete-share", "0.7")
    assert report["complete"]["deleted"] == 7
    assert found(worker) == set(IDS[7:])


def test_a_row_that_cannot_be_read_keeps_everything(tmp_path: Path, worker: CatalogIndex) -> None:
    produce(write(tmp_path / "monday", *rows(*IDS)))
    broken_off = write(tmp_path / "tuesday", *rows(*IDS[1:9]), '{"product_id": "p')
    report, done = produce(broken_off, "--complete", "--delete-share", "1")
    assert done.exit_code == 1
    assert (report["applied"], report["refused"]) == (8, 1)
    assert "skipped" in report["complete"]
    assert "nothing is deleted" in done.stderr
    assert "(lines 9)" in done.stderr
    assert found(worker) == set(IDS)


def test_without_it_nothing_is_deleted(tmp_path: Path, worker: CatalogIndex) -> None:
    produce(write(tmp_path / "monday", *rows(*IDS)))
    report, _ = produce(write(tmp_path / "part", *rows("p0")))
    assert "complete" not in report
    assert found(worker) == set(IDS)
    rehearsed, done = produce(write(tmp_path / "part", *rows("p0"), "no JSON"), "--dry-run")
    assert done.exit_code == 0
    assert (rehearsed["would_send"], rehearsed["refused"]) == (1, 1)


def test_what_came_before_is_ingested_first(tmp_path: Path, worker: CatalogIndex) -> None:
    produce(write(tmp_path / "late", *rows(*IDS)), "--no-wait")
    report, done = produce(write(tmp_path / "now", *rows(*IDS[1:])), "--complete")
    assert done.exit_code == 0, done.output
    assert (report["complete"]["known"], report["complete"]["deleted"]) == (10, 1)
    assert found(worker) == set(IDS[1:])
