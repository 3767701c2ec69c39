"""A Faust worker on both brokers: it loses nothing, whatever is in the stream, even when killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from stream.child_process import spawn, stop
from stream.connection import Kafka
from stream.dead_letter import read_dead_letters
from stream.delivery import EXIT_UNACKED
from stream.publisher import Publisher, wait_committed
from stream.topics import Topics, create_topics, topic_map
from tests.paths import ROOT


class Ledger:
    """A worker process that writes each value it was sent as a line of a file."""

    def __init__(
        self,
        kafka: Kafka,
        topics: Topics,
        tmp_path: Path,
        *,
        crash_on: str = "",
        slow_s: float = 0,
    ) -> None:
        self.group = f"ledger-{topics.catalog.name}"
        self.file = tmp_path / "ledger.txt"
        self.log = tmp_path / "worker.log"
        self._argv = [
            *(sys.executable, "-m", "tests.stream.ledger_worker"),
            json.dumps(asdict(kafka)),
            *(topics.catalog.name.removesuffix(".catalog"), self.group, str(tmp_path)),
            *(crash_on, str(slow_s)),
        ]
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = spawn(self._argv, log_path=self.log, env=env)
        return self.process

    def lines(self) -> Counter[str]:
        return Counter(self.file.read_text().split()) if self.file.exists() else Counter()

    def wait_lines(self, least: int, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while self.lines().total() < least:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.05)


def publish(kafka: Kafka, topics: Topics, values: list[bytes | None]) -> dict[int, int]:
    with Publisher(kafka) as publisher:
        for i, value in enumerate(values):
            publisher.publish(topics.catalog.name, f"key-{i % 50}", value, [("n", b"%d" % i)])
        return publisher.flush()[topics.catalog.name]


@pytest.mark.slow
def test_every_record_ends_and_only_the_poison_is_dead_lettered(
    kafka: Kafka, topics: Topics, tmp_path: Path
) -> None:
    good = [b"v%d" % i for i in range(300)]
    values: list[bytes | None] = [*good]
    poison: list[bytes | None] = [b"", None, b"poison", b"bad-write"]
    for place, value in zip((7, 90, 180, 240), poison, strict=True):
        values.insert(place, value)
    ends = publish(kafka, topics, values)
    worker = Ledger(kafka, topics, tmp_path)
    try:
        wait_committed(kafka, worker.group, topics.catalog.name, ends, timeout_s=60)
    finally:
        status = stop(worker.process, grace_s=25)
    assert set(worker.lines()) == {value.decode() for value in good}, worker.log.read_text()[-3000:]
    letters = list(read_dead_letters(kafka, topics))
    assert sorted(letter.record.value or b"-" for letter in letters) == sorted(
        [value or b"-" for value in poison]
    )
    assert {letter.record.topic for letter in letters} == {topics.catalog.name}
    assert all(letter.record.headers[0][0] == "n" for letter in letters)
    assert status == 0, worker.log.read_text()[-3000:]


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(kafka: Kafka, topics: Topics, tmp_path: Path) -> None:
    ends = publish(kafka, topics, [b"v%d" % i for i in range(3000)])
    worker = Ledger(kafka, topics, tmp_path)
    try:
        worker.wait_lines(800)
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        worker.start()
        wait_committed(kafka, worker.group, topics.catalog.name, ends, timeout_s=60)
    finally:
        stop(worker.process, grace_s=25)
    assert set(worker.lines()) == {f"v{i}" for i in range(3000)}


@pytest.mark.slow
def test_the_unexpected_ends_the_process_unacked(
    kafka: Kafka, topics: Topics, tmp_path: Path
) -> None:
    ends = publish(kafka, topics, [b"v%d" % i for i in range(100)])
    worker = Ledger(kafka, topics, tmp_path, crash_on="v77")
    try:
        assert worker.process.wait(60) == EXIT_UNACKED
        assert "unexpected error" in worker.log.read_text()
        worker = Ledger(kafka, topics, tmp_path)
        wait_committed(kafka, worker.group, topics.catalog.name, ends, timeout_s=60)
    finally:
        stop(worker.process, grace_s=25)
    assert set(worker.lines()) == {f"v{i}" for i in range(100)}


@pytest.mark.slow
def test_sigterm_ends_the_batch_and_leaves_within_five_seconds(
    kafka: Kafka, topics: Topics, tmp_path: Path
) -> None:
    ends = publish(kafka, topics, [b"v%d" % i for i in range(1500)])
    worker = Ledger(kafka, topics, tmp_path, slow_s=0.5)
    other = None
    try:
        worker.wait_lines(200)
        began = time.monotonic()
        worker.process.terminate()
        assert worker.process.wait(20) == 0, worker.log.read_text()[-3000:]
        assert time.monotonic() - began < 5
        other = Ledger(kafka, topics, tmp_path)
        wait_committed(kafka, other.group, topics.catalog.name, ends, timeout_s=60)
    finally:
        stop(worker.process)
        if other:
            stop(other.process, grace_s=25)
    # Nothing came again: the last batch was written, acked and committed.
    assert worker.lines() == Counter(f"v{i}" for i in range(1500))


@pytest.mark.slow
def test_partitions_change_hands_between_batches(
    kafka: Kafka, topics: Topics, tmp_path: Path
) -> None:
    ends = publish(kafka, topics, [b"v%d" % i for i in range(3000)])
    workers = [Ledger(kafka, topics, tmp_path, slow_s=0.3)]
    try:
        workers[0].wait_lines(200)
        workers.append(Ledger(kafka, topics, tmp_path, slow_s=0.3))
        workers[0].wait_lines(1500)
        stop(workers[0].process, grace_s=25)
        wait_committed(kafka, workers[0].group, topics.catalog.name, ends, timeout_s=60)
    finally:
        for worker in workers:
            stop(worker.process, grace_s=25)
    written = workers[0].lines()
    assert set(written) == {f"v{i}" for i in range(3000)}
    # Each batch is committed before its partitions go; with a slow broker, each of the two
    # hand-overs may bring one batch again.
    assert written.total() <= 3000 + 2 * 64


@pytest.mark.slow
def test_a_slow_sink_does_not_fill_the_memory(embedded: Kafka, tmp_path: Path) -> None:
    topics = topic_map("slow-sink")
    create_topics(embedded, topics)
    rng = random.Random(0)
    publish(embedded, topics, [b"%-20d" % i + rng.randbytes(300_000) for i in range(1200)])
    worker = Ledger(embedded, topics, tmp_path, slow_s=2)
    try:
        worker.wait_lines(1)
        process, peak = psutil.Process(worker.process.pid), 0
        for _ in range(60):
            peak = max(peak, process.memory_info().rss)
            time.sleep(0.2)
    finally:
        stop(worker.process, grace_s=25)
    assert peak < 200e6, f"{peak / 1e6:.0f} MB of 360 MB that wait"


@pytest.mark.slow
def test_a_record_arrives_soon(kafka: Kafka, topics: Topics, tmp_path: Path) -> None:
    # With Faust's own fetch wait of 1.5 s, the embedded broker would hold it for 0.75 s more.
    worker = Ledger(kafka, topics, tmp_path)
    took = []
    try:
        for i in range(10):
            publish(kafka, topics, [b"v%d" % i])
            began = time.monotonic()
            worker.wait_lines(i + 1)
            took.append(time.monotonic() - began)
    finally:
        stop(worker.process, grace_s=25)
    assert sorted(took)[5] < 0.4, took


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("listener", ["secure_kafka", "mutual_kafka"])
def test_a_worker_behind_tls(listener: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """With a password, and with a client certificate."""
    kafka: Kafka = request.getfixturevalue(listener)
    topics = topic_map(listener.replace("_", "-"))
    create_topics(kafka, topics)
    ends = publish(kafka, topics, [b"v%d" % i for i in range(20)])
    worker = Ledger(kafka, topics, tmp_path)
    try:
        wait_committed(kafka, worker.group, topics.catalog.name, ends, timeout_s=60)
    finally:
        stop(worker.process, grace_s=25)
    assert set(worker.lines()) == {f"v{i}" for i in range(20)}
