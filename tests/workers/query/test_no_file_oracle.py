"""No query finds out which files there are; the operator finds out what was wrong with each."""

import asyncio
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from structlog.testing import capture_logs

from models.images.file_type import sniff
from models.reranking.linear import load_reranker
from stream.codec import encode
from stream.messages import Query
from stream.records import Record
from stream.topics import topic_map
from tests.doubles.colours import ColourEncoder
from tests.servers.picture_host import Reply, picture_host
from tests.workers.query.test_every_query_is_answered import Letters, Published
from workers.catalog_index import CatalogIndex
from workers.config.sections import IntakeSettings, QuerySettings
from workers.config.settings import Settings
from workers.intake.fetch import open_fetcher
from workers.query.steps import QueryPipeline
from workers.query.worker import QueryPublisher

MAX_BYTES = 5_000
NAME = "a.png"


def _large(file: Path) -> None:
    file.write_bytes(bytes(MAX_BYTES + 1))


def _link_out(file: Path) -> None:
    file.symlink_to("/etc/passwd")


def _link_to_nothing_outside(file: Path) -> None:
    file.symlink_to("/etc/there-is-no-such-file")


def _link_to_itself(file: Path) -> None:
    file.symlink_to(file)


def _png(side: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(out, "PNG")
    return out.getvalue()


def _cut_off(file: Path) -> None:
    file.write_bytes(_png(90)[:60])


def _many_pixels(file: Path) -> None:
    file.write_bytes(_png(101))


def _small(file: Path) -> None:
    file.write_bytes(_png(4))


Make = Callable[[Path], object]
# What becomes of the file, and a pattern of the operator's sentence.
KINDS: dict[str, tuple[Make, str]] = {
    "missing": (lambda _file: None, r"a\.png is missing: .* intake\.roots allows; put it there"),
    "outside": (
        _link_out,
        r"\(which is /etc/passwd\) is outside .* intake\.roots allows \(/.*root",
    ),
    "missing outside": (
        _link_to_nothing_outside,
        r"\(which is /etc/there-.*\) is outside the fold",
    ),
    "large": (_large, r"a\.png is larger than 0\.005 MB \(intake\.max_bytes\); send a smaller"),
    "folder": (Path.mkdir, r"a\.png is a folder, not a file: name a picture in it"),
    "pipe": (os.mkfifo, r"a\.png is a pipe, socket or device, not a file"),
    "loop": (_link_to_itself, r"a\.png can't be read: .*loop"),
    "denied": (Path.touch, r"a\.png can't be read: permission denied; let the user .* read"),
    "empty": (Path.touch, r"a\.png is empty"),
    "cut off": (_cut_off, r"a\.png: the PNG picture is damaged or truncated"),
    "many pixels": (_many_pixels, r"more pixels than 0\.01 million \(intake\.max_pixels\)"),
    "small": (_small, r"a\.png: .* nothing can be recognised below 8 pixels"),
}


@dataclass(frozen=True)
class Asked:
    """What the asker was told, and what the operator can read."""

    told: str
    letter: str
    logged: str


@dataclass(frozen=True)
class Worker:
    """A query worker without Kafka that may read files below `root`."""

    runner: asyncio.Runner
    pipeline: QueryPipeline
    root: Path

    def ask(self, reference: str) -> Asked:
        """Ask with this picture, which cannot be had."""
        published, letters = Published(), Letters()
        outcomes = QueryPublisher(topic_map(), published, letters)  # type: ignore[arg-type]
        value = encode(Query(query_id="q", image=reference))
        record = Record(topic="t", partition=0, offset=0, key=b"k", value=value, timestamp_ms=0)
        with capture_logs() as logs:
            outcomes.publish(self.runner.run(self.pipeline.answer([record])))
        [result], [letter], [line] = published.results(), letters.rejections, logs
        assert line["query_id"] == "q"
        return Asked(str(result.error), letter.reason, line["why"])

    def ask_for(self, make: Make, reference: str) -> Asked:
        """Ask with a file that is made for it, and gone afterwards."""
        file = self.root / NAME
        make(file)
        try:
            return self.ask(reference)
        finally:
            if file.is_dir():
                file.rmdir()
            else:
                file.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    root = tmp_path_factory.mktemp("root")
    encoder = ColourEncoder()
    index = CatalogIndex(
        Settings.model_validate({"data_dir": tmp_path_factory.mktemp("data")}), encoder.model_id
    )
    intake = IntakeSettings.model_validate(
        {
            "roots": [root],
            "max_bytes": MAX_BYTES,
            "max_pixels": 10_000,
            "allowed_networks": ["127.0.0.1/32"],
            "attempts": 1,
        }
    )
    with asyncio.Runner() as runner:
        opening = open_fetcher(intake)
        fetcher = runner.run(opening.__aenter__())
        pipeline = QueryPipeline(fetcher, encoder, load_reranker(), index, QuerySettings())
        yield Worker(runner, pipeline, root)
        runner.run(opening.__aexit__(None, None, None))


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether files can't be opened (a mode does not do: tests may run as root)."""
    opened = Path.open
    state = {"denied": False}

    def open_or_not(path: Path, *args: Any, **named: Any) -> object:
        if state["denied"]:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **named)

    monkeypatch.setattr(Path, "open", open_or_not)
    return lambda now: state.update(denied=now)


QUICK = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUICK
@given(
    st.lists(st.sampled_from(list(KINDS)), min_size=2, max_size=4, unique=True),
    st.sampled_from(["", "file://", "file://localhost"]),
)
def test_every_kind_is_told_alike_and_logged_apart(
    worker: Worker, denied: Callable[[bool], None], kinds: list[str], scheme: str
) -> None:
    reference = f"{scheme}{worker.root}/{NAME}"
    asked = []
    for kind in kinds:
        denied(kind == "denied")
        asked.append(worker.ask_for(KINDS[kind][0], reference))
    assert len({one.told for one in asked}) == 1
    assert len({one.letter for one in asked}) == len(kinds)
    assert [one.letter for one in asked] == [one.logged for one in asked]


@pytest.mark.parametrize("kind", KINDS)
def test_the_operator_reads_what_is_wrong_and_what_to_do(
    worker: Worker, denied: Callable[[bool], None], kind: str
) -> None:
    make, pattern = KINDS[kind]
    denied(kind == "denied")
    reference = f"{worker.root}/{NAME}"
    asked = worker.ask_for(make, reference)
    assert asked.letter.startswith(reference)
    assert re.search(pattern, asked.letter), asked.letter


def test_a_relative_path_is_written_out_for_the_operator(worker: Worker) -> None:
    asked = worker.ask("no-such-folder/b.png")
    assert f"(which is {Path.cwd()}/no-such-folder/b.png) is outside" in asked.letter
    assert str(Path.cwd()) not in asked.told
    assert str(worker.root) not in asked.told


@QUICK
@given(st.binary(min_size=1, max_size=300).filter(lambda data: sniff(data) is None))
def test_nothing_of_a_file_that_is_no_picture_is_told(worker: Worker, data: bytes) -> None:
    reference = f"{worker.root}/{NAME}"
    missing = worker.ask(reference)
    asked = worker.ask_for(lambda file: file.write_bytes(data), reference)
    assert asked.told == missing.told
    assert "the data is no picture that can be read" in asked.letter


class Stuck:
    """A fetcher whose files do not come: they are on a disk that hangs."""

    async def fetch(self, _reference: str) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def decode(self, _data: bytes) -> None: ...


def test_a_file_that_does_not_come_in_time_is_told_like_the_others(worker: Worker) -> None:
    encoder, index = worker.pipeline._encoder, worker.pipeline._index
    in_no_time = QuerySettings(deadline_s=0.01)
    pipeline = QueryPipeline(Stuck(), encoder, load_reranker(), index, in_no_time)  # type: ignore[arg-type]
    reference = f"{worker.root}/{NAME}"
    asked = Worker(worker.runner, pipeline, worker.root).ask(reference)
    assert asked.told == worker.ask(reference).told
    assert "did not come within 0.01 s (query.deadline_s)" in asked.letter


def test_what_became_of_a_url_is_told_and_logged_apart(worker: Worker) -> None:
    with picture_host() as host:
        asked = {
            "gone": worker.ask(f"{host.url}/gone.png"),
            "large": worker.ask(host.script("/large.png", Reply(bytes(MAX_BYTES + 1)))),
            "text": worker.ask(host.script("/text.png", Reply(b"this is text"))),
            "busy": worker.ask(host.script("/busy.png", Reply(status=500))),
        }
        for name, words in (
            ("gone", "answered 404"),
            ("large", "larger than 0.005 MB (intake.max_bytes)"),
            ("text", "the data is no picture"),
            ("busy", "answered 500 (tried 1 times)"),
        ):
            assert words in asked[name].told
            assert words in asked[name].letter
            assert asked[name].letter.startswith(f"{host.url}/{name}")
