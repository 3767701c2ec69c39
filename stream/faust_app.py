"""The Faust app, with settings that were measured to lose and delay nothing.

Faust only consumes and commits here. Topics exist already (`topics.create_topics`), nothing is
kept in tables, and agents read their stream through `faust_consumer.consume`.
"""

from pathlib import Path
from typing import Any

import faust
from faust.auth import Credentials, SASLCredentials, SSLCredentials
from faust.transport.drivers import aiokafka as driver
from yarl import URL

from stream.connection import (
    FETCH_WAIT_MS,
    MAX_MESSAGE_BYTES,
    MAX_RECORD_BYTES,
    Kafka,
)
from stream.faust_consumer import commit_acked


def make_app(
    kafka: Kafka,
    app_id: str,
    *,
    datadir: Path,
    web_port: int | None = None,
    web_host: str = "127.0.0.1",
    max_poll_records: int = 64,
    **settings: Any,
) -> faust.App:
    """Return a Faust app whose consumer group is `app_id`.

    `datadir` is where Faust keeps its state. `web_port` opens Faust's pages on `web_host`
    (default: no web). `settings` go to `faust.App` and override ours.
    """
    ours: dict[str, Any] = {
        "broker": _urls(kafka),
        "broker_credentials": _credentials(kafka),
        "datadir": datadir,
        "store": "memory://",
        "key_serializer": "raw",
        "value_serializer": "raw",
        # What is not committed is read again.
        "processing_guarantee": "at_least_once",
        "consumer_auto_offset_reset": "earliest",
        "broker_commit_interval": 0.5,
        "broker_commit_every": 1000,
        "producer_acks": -1,
        # Bounded memory: pictures travel in records, and Faust counts records, not bytes. More than
        # a batch ahead gains nothing; with both, and the batch, some 200 records are held at most.
        "broker_max_poll_records": max_poll_records,
        "stream_buffer_maxsize": 64,
        "stream_wait_empty": False,
        "consumer_max_fetch_size": MAX_RECORD_BYTES,
        "producer_max_request_size": MAX_MESSAGE_BYTES,
        "broker_session_timeout": kafka.session_timeout_s,
        "broker_heartbeat_interval": kafka.heartbeat_s,
        # A store may be down for hours: waiting for it must not cost us our partitions.
        "broker_max_poll_interval": 24 * 3600.0,
        # Faust would create topics of its own.
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": web_port is not None,
        "web_host": web_host,
        "web_bind": web_host,
        "web_port": web_port or 6066,
        # Faust would turn print() into log lines.
        "worker_redirect_stdouts": False,
    }
    return faust.App(app_id, **ours | settings)


def raw_topic(app: faust.App, *names: str) -> faust.TopicT:
    """Topics as an agent's source, as bytes: `delivery` decodes, so that nothing is lost."""
    return app.topic(
        *names,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        allow_empty=True,
    )


def _urls(kafka: Kafka) -> list[URL]:
    # aiokafka only: Faust's confluent transport was seen to consume nothing.
    return [URL(f"kafka://{server.strip()}") for server in kafka.bootstrap.split(",")]


def _credentials(kafka: Kafka) -> Credentials | None:
    context = kafka.ssl_context()
    if kafka.security_protocol.startswith("SASL"):
        return SASLCredentials(
            username=kafka.username,
            password=kafka.password,
            mechanism=kafka.sasl_mechanism or "PLAIN",
            ssl_context=context,
        )
    return SSLCredentials(context) if context else None


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Waits `FETCH_WAIT_MS` for a fetch, and reads again what was never committed.

    Faust hard-codes a wait of 1.5 s and has no setting: on the embedded broker half of it is the
    latency of a hop (measured in `connection`).
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # read when the consumer starts
        return consumer

    async def seek_to_committed(self) -> Any:
        """Seek each partition to what is committed; to its beginning where nothing is yet.

        Faust drops what a fetch brings during a rebalance and seeks back, but aiokafka leaves
        partitions without a committed offset where they are: after what was dropped, which would
        never be read.
        """
        return await self.call_thread(self._seek_to_committed)

    async def _seek_to_committed(self) -> Any:
        consumer = self._ensure_consumer()
        committed = await consumer.seek_to_committed()
        uncommitted = {place for place, offset in committed.items() if not offset}
        # A partition that left meanwhile begins anew with its next assignment.
        if uncommitted := uncommitted & consumer.assignment():
            await consumer.seek_to_beginning(*uncommitted)
        return committed


class _CommittingConsumer(driver.Consumer):
    """Commits what is acked before partitions are revoked; Faust's own does not."""

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await commit_acked(self)
        await super().on_partitions_revoked(revoked)


# Faust's consumer looks the thread class up in its module, and the transport its consumer.
driver.AIOKafkaConsumerThread = _ConsumerThread  # type: ignore[misc]
driver.Transport.Consumer = _CommittingConsumer
