"""Real connectors in each mode on one table, through the real steps: the index is the table.

With `LOOKSTREAM_TEST_RECORD=1` the events are kept for `test_recorded.py`.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import orjson
import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from stream.connection import Kafka
from stream.records import Record, from_confluent
from tests.postgres.shop import MODES, before_the_snapshot, changes
from tests.postgres.steps import applied, check, read_recorded, write_recorded
from tests.servers.debezium import ConnectWorker, shop_connector
from tests.servers.kafka import KafkaCluster
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(900)]

WAIT_S = 180.0
"""For what takes some seconds, on a machine that has more to do."""
IDLE_S = 10.0
"""Nothing follows where nothing came for so long."""


async def test_each_mode(
    postgres: PostgresServer, cluster: KafkaCluster, connect: ConnectWorker, tmp_path: Path
) -> None:
    recorded = bool(os.environ.get("LOOKSTREAM_TEST_RECORD"))
    with postgres.connect() as connection:
        before_the_snapshot(connection)
        for mode in MODES:
            given = shop_connector(postgres, mode.prefix) | dict(mode.settings)
            connect.put(mode.prefix, given)
        wait_streaming(connection, len(MODES))
        changes(connection)
        connection.execute("TRUNCATE products")
        sent: dict[str, list[Record]] = {}
        for mode in MODES:
            wanted = list(read_recorded(mode)) if not recorded else []
            records = sent[mode.name] = read_topic(cluster.plain, mode.topic, len(wanted))
            if recorded:
                write_recorded(mode, records)
            else:
                assert shapes(records) == shapes(wanted), mode.name
    for mode in MODES:
        folder = tmp_path / mode.name
        folder.mkdir()
        check(mode, *await applied(mode, sent[mode.name], folder))


def wait_streaming(connection: psycopg.Connection[object], slots: int) -> None:
    """Wait until so many connectors have read the table, and follow the log."""
    query = (
        "SELECT count(*) FROM pg_replication_slots JOIN pg_stat_replication ON active_pid = pid "
        "WHERE state = 'streaming' AND slot_type = 'logical' AND NOT temporary"
    )
    deadline = time.monotonic() + WAIT_S
    while connection.execute(query).fetchone() != (slots,):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def read_topic(kafka: Kafka, topic: str, many: int = 0) -> list[Record]:
    """All records of a topic of one partition, of which there are so many at least."""
    consumer = Consumer(kafka.consumer("unused"))
    consumer.assign([TopicPartition(topic, 0, 0)])
    records: list[Record] = []
    wait_s = WAIT_S if many else IDLE_S
    while (message := consumer.poll(wait_s)) is not None:  # a tombstone counts as false
        if message.error():
            continue
        records.append(from_confluent(message))
        if len(records) >= many:
            wait_s = 1.0 if many else IDLE_S
    consumer.close()
    return records


def shapes(records: Sequence[Record]) -> list[object]:
    """What records are without their values: names of fields, keys and operations."""
    return [
        (_shape(one.key), _shape(one.value), [n for n, _ in one.headers if "context" not in n])
        for one in records
    ]


def _shape(data: bytes | None) -> object:
    return None if data is None else _names(orjson.loads(data))


def _names(value: object) -> object:
    if isinstance(value, dict):
        shown = {"op", "__op", "iodebeziumop", "__deleted"}
        return {k: v if k in shown else _names(v) for k, v in sorted(value.items())}
    return None
