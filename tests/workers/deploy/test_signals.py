"""The ingest worker as a process: it waits for its broker, and leaves when told to."""

import time
from pathlib import Path

import pytest

from benchmarks.shop.worker_pool import Staff
from stream.embedded_broker import EmbeddedBroker, claim_port
from stream.topics import create_topics
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of

pytestmark = pytest.mark.slow


def log_says(path: Path, words: str, timeout_s: float = 40) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if path.exists() and words in path.read_text():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def deployment(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": tmp_path,
            "kafka": {"bootstrap": f"127.0.0.1:{claim_port()}"},
            "milvus": {"uri": "http://127.0.0.1:1", "kind": "lite"},
        }
    )


def test_a_worker_waits_for_its_broker_and_leaves_within_five_seconds(
    deployment: Settings,
) -> None:
    with Staff(deployment) as staff:
        number = staff.join()
        assert log_says(staff.log(number), "waiting for the broker")
        with EmbeddedBroker(int(deployment.kafka.servers.rpartition(":")[2])):
            create_topics(kafka_of(deployment), topics_of(deployment))
            assert log_says(staff.log(number), "ingest worker ready")
            assert staff.leave(number) < 5.5
        assert staff.exits == 0


def test_a_worker_that_waits_for_its_broker_leaves_at_once(deployment: Settings) -> None:
    with Staff(deployment) as staff:
        number = staff.join()
        assert log_says(staff.log(number), "waiting for the broker")
        assert staff.leave(number) < 5.5
