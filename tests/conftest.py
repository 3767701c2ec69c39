"""Brokers to test on: the embedded one, and a real Apache Kafka in the lane `kafka`.

The real one is at `LOOKSTREAM_TEST_KAFKA` (host:port), or is started by `../shared/kafka/kafka`
where that script, Java and Maven are there.
"""

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream.broker import EmbeddedBroker
from stream.connection import Kafka
from stream.topics import Topics, create_topics, topic_map

SCRIPT = Path(__file__).parents[2] / "shared" / "kafka" / "kafka"


@pytest.fixture(scope="session")
def embedded() -> Iterator[Kafka]:
    with EmbeddedBroker() as broker:
        yield Kafka(bootstrap=broker.bootstrap)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A real Apache Kafka of our own, as its script describes it: plain and SASL_SSL listeners."""
    if not SCRIPT.exists() or not shutil.which("java") or not shutil.which("mvn"):
        pytest.skip("no Apache Kafka: set LOOKSTREAM_TEST_KAFKA to host:port of one")
    directory = tmp_path_factory.mktemp("kafka")
    started = subprocess.run(
        [sys.executable, str(SCRIPT), "start", str(directory), "--secure"],
        check=True,
        capture_output=True,
        text=True,
    )
    try:
        yield json.loads(started.stdout)
    finally:
        subprocess.run(
            [sys.executable, str(SCRIPT), "stop", str(directory)], check=True, capture_output=True
        )


@pytest.fixture(scope="session")
def kafka_server(request: pytest.FixtureRequest) -> Kafka:
    """The address of a real Apache Kafka."""
    if address := os.environ.get("LOOKSTREAM_TEST_KAFKA"):
        return Kafka(bootstrap=address)
    return Kafka(bootstrap=request.getfixturevalue("cluster")["bootstrap"])


@pytest.fixture(scope="session")
def secure_kafka(cluster: dict[str, Any]) -> Kafka:
    """The listener of our own cluster that asks for TLS and a password."""
    secure = cluster["secure"]
    return Kafka(
        bootstrap=secure["bootstrap"],
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        username=secure["username"],
        password=secure["password"],
        ca_file=secure["ca"],
    )


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def kafka(request: pytest.FixtureRequest) -> Kafka:
    """Every test that takes this runs on both brokers."""
    name = "embedded" if request.param == "embedded" else "kafka_server"
    address: Kafka = request.getfixturevalue(name)
    return address


@pytest.fixture
def topics(kafka: Kafka) -> Topics:
    """Topics of this test alone."""
    topics = topic_map(f"test-{uuid.uuid4().hex[:8]}")
    create_topics(kafka, topics)
    return topics
