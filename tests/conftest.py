"""Brokers to test on: the embedded one, and a real Apache Kafka in the lane `kafka`.

The real one is at `LOOKSTREAM_TEST_KAFKA` (host:port), or is our own (`tests.servers.kafka`)
where Java and Maven are there.
"""

import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

from stream.connection import Kafka
from stream.embedded_broker import EmbeddedBroker
from stream.topics import Topics, create_topics, topic_map
from tests import needs, sharing
from tests.servers import ServerMissing
from tests.servers.kafka import KafkaCluster

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SESSION_S = 2.0
"""A third of the usual: a group's first member and the death of another are waited for so long."""
ALL_SLOW = re.compile(
    rf"^pytestmark = .*mark\.({'|'.join(['slow', *sharing.SERVERS])})\b", re.MULTILINE
)
"""Of a module all of whose tests are slow."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without-torch", action="store_true", help="as if PyTorch were not installed"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--without-torch"):
        needs.hide_torch()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The fast lane does not import what says that all its tests are slow."""
    if config.getoption("markexpr") != "not slow" or collection_path.suffix != ".py":
        return None
    return True if ALL_SLOW.search(collection_path.read_text("utf-8")) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A server to start first is slow: the fast lane goes without."""
    missing = pytest.mark.skipif(not needs.torch_is_there(), reason=needs.MISSING)
    for item in items:
        if any(map(item.get_closest_marker, sharing.SERVERS)):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("torch"):
            item.add_marker(missing)
    if worker := getattr(config, "workerinput", None):  # one of several processes
        sharing.sort_and_tell(worker["testrunuid"], items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> sharing.ByGroup:
    """See `tests.sharing`."""
    return sharing.ByGroup(config, log)


@pytest.fixture(scope="session")
def embedded() -> Iterator[Kafka]:
    with EmbeddedBroker() as broker:
        yield Kafka(bootstrap=broker.bootstrap, session_timeout_s=SESSION_S)


@pytest.fixture(scope="session")
def cluster() -> Iterator[KafkaCluster]:
    """An Apache Kafka of our own, one broker with every listener; don't kill it."""
    try:
        with KafkaCluster(secure=True) as cluster:
            yield cluster
    except ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def kafka_server(request: pytest.FixtureRequest) -> Kafka:
    """The address of a real Apache Kafka."""
    if address := os.environ.get("LOOKSTREAM_TEST_KAFKA"):
        return Kafka(bootstrap=address)
    cluster: KafkaCluster = request.getfixturevalue("cluster")
    return replace(cluster.plain, session_timeout_s=SESSION_S)


@pytest.fixture(scope="session")
def secure_kafka(cluster: KafkaCluster) -> Kafka:
    """The listener of our own cluster that asks for TLS and a password."""
    return replace(cluster.password, session_timeout_s=SESSION_S)


@pytest.fixture(scope="session")
def mutual_kafka(cluster: KafkaCluster) -> Kafka:
    """The listener of our own cluster that asks for TLS and a client certificate."""
    return replace(cluster.mutual, session_timeout_s=SESSION_S)


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
