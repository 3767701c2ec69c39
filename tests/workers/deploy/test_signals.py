"""The ingest worker as a process: it waits for its broker, and leaves when told to."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stream.child_process import python_module, spawn, stop
from stream.embedded_broker import EmbeddedBroker, claim_port
from stream.topics import create_topics
from tests.paths import ROOT
from workers.config.settings import Settings, settings_environment
from workers.config.wiring import kafka_of, topics_of

pytestmark = pytest.mark.slow

Start = Callable[[], subprocess.Popen[bytes]]


def log_says(path: Path, words: str, timeout_s: float = 40) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if path.exists() and words in path.read_text():
            return True
        time.sleep(0.1)
    return False


def seconds_to_leave(worker: subprocess.Popen[bytes]) -> float:
    """Ask a running worker to end (SIGTERM); how long it takes."""
    assert worker.poll() is None, "it ended by itself"
    began = time.monotonic()
    stop(worker, grace_s=10)
    return time.monotonic() - began


@pytest.fixture
def deployment(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": tmp_path,
            "kafka": {"bootstrap": f"127.0.0.1:{claim_port()}"},
            "milvus": {"uri": "http://127.0.0.1:1", "kind": "lite"},
            "ingest": {"metrics_port": claim_port()},
        }
    )


@pytest.fixture
def log(deployment: Settings) -> Path:
    return deployment.log_dir / "ingest.log"


@pytest.fixture
def start(deployment: Settings, log: Path) -> Iterator[Start]:
    """Starts a worker, which ends with the test."""
    with ExitStack() as stack:

        def start() -> subprocess.Popen[bytes]:
            worker = spawn(
                python_module("tests.doubles.ingest_worker"),
                log_path=log,
                env=settings_environment(deployment) | {"PYTHONPATH": str(ROOT)},
            )
            stack.callback(stop, worker)
            return worker

        yield start


def test_a_worker_waits_for_its_broker_and_leaves_within_five_seconds(
    deployment: Settings, log: Path, start: Start
) -> None:
    worker = start()
    assert log_says(log, "waiting for the broker")
    with EmbeddedBroker(int(deployment.kafka.servers.rpartition(":")[2])):
        create_topics(kafka_of(deployment), topics_of(deployment))
        assert log_says(log, "ingest worker ready")
        assert seconds_to_leave(worker) < 5.5


def test_a_worker_that_waits_for_its_broker_leaves_at_once(log: Path, start: Start) -> None:
    worker = start()
    assert log_says(log, "waiting for the broker")
    assert seconds_to_leave(worker) < 5.5
