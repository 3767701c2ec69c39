"""PostgreSQL and Debezium, of one test; the Apache Kafka between them is everybody's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import ServerMissing
from tests.servers.debezium import ConnectWorker
from tests.servers.kafka import KafkaCluster
from tests.servers.postgres import PostgresServer


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A server with an empty database."""
    try:
        with PostgresServer() as server:
            yield server
    except ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def connect(cluster: KafkaCluster) -> Iterator[ConnectWorker]:
    """A worker of Kafka Connect without connectors."""
    try:
        with ConnectWorker(cluster.plain) as worker:
            yield worker
    except ServerMissing as missing:
        pytest.skip(str(missing))
