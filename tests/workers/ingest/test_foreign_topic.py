"""A topic of another program beside ours, through the real worker, and redriven letters."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from stream.connection import Kafka
from stream.dead_letter import read_dead_letters
from stream.publisher import Publisher, wait_committed
from stream.redrive import conditions, redrive_letters
from stream.topics import Topic, create_topics
from tests.doubles.debezium import MODES, Table
from workers.catalog_index import open_catalog
from workers.config.settings import Settings, settings_environment
from workers.config.wiring import kafka_of, topics_of

pytestmark = pytest.mark.slow


def test_a_table_becomes_searchable(embedded: Kafka, tmp_path: Path) -> None:
    source = f"shop{uuid4().hex}.public.products"
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "kafka": {"bootstrap": embedded.bootstrap, "prefix": f"f{uuid4().hex}"},
            "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"},
            "catalog": {"topics": [source], "map": {"product_id": "id", "title": "name"}},
            "ingest": {"metrics_port": 0, "weigh_parts": False},
        }
    )
    kafka, topics = kafka_of(settings), topics_of(settings)
    foreign = Topic(name=source, key="id", partitions=1, retention_ms=-1)
    create_topics(kafka, (*topics, foreign))
    table = Table(MODES[0])
    rows = [{"id": n, "name": f"name {n}", "descr": "d", "price": Decimal(1)} for n in range(3)]
    events = [pair for row in rows for pair in table.insert(row)] + list(table.delete(0))
    events.append((b'{"id":1}', orjson.dumps({"op": "t", "source": {}})))
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.doubles.ingest_worker"],
        env={**os.environ, **settings_environment(settings)},
    )
    try:
        with Publisher(kafka) as publisher:
            for key, value in events:
                publisher.publish(source, key, value)
            native = {"type": "upsert", "product_id": "own", "title": "own"}
            publisher.publish(topics.catalog.name, "own", orjson.dumps(native))
            ends = publisher.flush()
        for topic in (source, topics.catalog.name):
            wait_committed(kafka, settings.group("ingest"), topic, ends[topic], timeout_s=60)
        [letter] = read_dead_letters(kafka, topics)
        assert letter.record.topic == source
        assert "the table was truncated" in letter.reason
        done = redrive_letters(kafka, topics, conditions([]), sources=settings.catalog.topics)
        assert done.sent == 1
        _until(lambda: len(list(read_dead_letters(kafka, topics))) == 2)
        again = list(read_dead_letters(kafka, topics))[1]
        assert again.record.topic == topics.catalog.name
        assert again.reason == letter.reason
    finally:
        worker.terminate()
        worker.wait(20)
    collection, _ = open_catalog(settings)
    with collection:
        found = {item.product_id for page in collection.scan() for item in page}
    assert found == {"1", "2", "own"}


def _until(holds: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)
