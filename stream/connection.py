"""Address and credentials of Kafka: one value, and the settings of each client library from it.

Two facts decide the settings: pictures travel in messages (`data:` URIs), so messages reach 16 MB;
and a search waits for its answer, so fetches must be prompt.
"""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import tenacity
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream.errors import BrokerError
from stream.schema_registry import SchemaRegistry

# The largest message we produce, in bytes: a 10 MB picture in base64 and room to spare.
MAX_MESSAGE_BYTES = 16_000_000
# What topics and the dead-letter producer accept: a message of the largest size must still fit
# when it is dead-lettered with its headers.
MAX_RECORD_BYTES = 16_777_216
# The embedded broker holds a fetch until its wait is over, even when data has arrived: half of
# it is the latency of a hop. And a fetch takes longer the more batches a partition holds (1 ms
# for about 2,500); once that exceeds the wait the broker spins: with 10 ms at 20,000 batches, with
# 200 ms not at hundreds of thousands (measured). So only what a shopper waits for is prompt.
FETCH_WAIT_MS = 200
PROMPT_FETCH_WAIT_MS = 25
# The shortest session Apache Kafka allows by default. The embedded broker lets a group's first
# member wait for half of it, and a worker that was killed is noticed only when it is over.
SESSION_TIMEOUT_S = 6.0
HEARTBEATS = 6  # in a session
# How long a rebalance waits for a last commit; without it, records are delivered again.
COMMIT_S = 5.0
# A broker that has just started, or a partition that just got its leader, needs a moment.
LEADER_TIMEOUT_S = 10.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """Address and credentials of a Kafka cluster.

    `bootstrap` is `host:port[,host:port…]`; `security_protocol` one of PLAINTEXT, SSL,
    SASL_PLAINTEXT, SASL_SSL; files are PEM. The passwords never show in the repr. A member of a
    consumer group that is not heard of for `session_timeout_s` has left it. With a
    `schema_registry`, producers put the id of its schema before each message.
    """

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: str | None = field(default=None, repr=False)
    session_timeout_s: float = SESSION_TIMEOUT_S
    schema_registry: SchemaRegistry | None = None

    @property
    def heartbeat_s(self) -> float:
        """Seconds between two signs of life of a member of a group."""
        return self.session_timeout_s / HEARTBEATS

    def confluent(self, **extra: Any) -> dict[str, Any]:
        """Settings for any confluent-kafka client; `extra` with `_` for `.` overrides."""
        settings: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.username,
            "sasl.password": self.password,
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.cert_file,
            "ssl.key.location": self.key_file,
            "ssl.key.password": self.key_password,
            # librdkafka writes its log to standard error by default.
            "logger": logging.getLogger("librdkafka"),
            # Down brokers are retried within a second, not within librdkafka's ten.
            "reconnect.backoff.max.ms": 1000,
        }
        settings |= {name.replace("_", "."): value for name, value in extra.items()}
        return {name: value for name, value in settings.items() if value is not None}

    def producer(self, **extra: Any) -> dict[str, Any]:
        """Settings for a durable confluent-kafka producer: idempotent, acks from all replicas."""
        defaults = {
            "enable_idempotence": True,
            "linger_ms": 5,
            "message_max_bytes": MAX_MESSAGE_BYTES,
            "compression_type": "lz4",
            # The partitioner of every other Kafka client: co-partitioned topics stay so whoever
            # writes them (librdkafka's own default is a CRC32).
            "partitioner": "murmur2_random",
        }
        return self.confluent(**defaults | extra)

    def consumer(self, group: str, **extra: Any) -> dict[str, Any]:
        """Settings for a confluent-kafka consumer that commits nothing by itself.

        One that a shopper waits for passes `fetch_wait_max_ms=PROMPT_FETCH_WAIT_MS`.
        """
        defaults = {
            "group_id": group,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "session_timeout_ms": round(1000 * self.session_timeout_s),
            "heartbeat_interval_ms": round(1000 * self.heartbeat_s),
            "fetch_wait_max_ms": FETCH_WAIT_MS,
            "fetch_message_max_bytes": MAX_RECORD_BYTES,
            "receive_message_max_bytes": 8 * MAX_RECORD_BYTES,
            "fetch_max_bytes": 4 * MAX_RECORD_BYTES,
        }
        return self.confluent(**defaults | extra)

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context for asyncio clients; None without TLS."""
        if not self.security_protocol.endswith("SSL"):
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file, self.key_password)
        return context


def check_broker(kafka: Kafka, timeout_s: float = 5.0) -> int:
    """Return how many brokers answer.

    Raises `BrokerError` with the reason. librdkafka reports a refused password as a time-out and
    the reason only in its log, so the log is read too.
    """
    log = _LastLogLine()
    admin = AdminClient(kafka.confluent(logger=log.logger))
    try:
        return len(admin.list_topics(timeout=timeout_s).brokers)
    except KafkaException as error:
        admin.poll(0)  # delivers the log
        reason = log.last or error.args[0].str()
        raise BrokerError(
            f"no Kafka answers at {kafka.bootstrap} ({kafka.security_protocol}): {reason}. "
            "Check the address, that the broker runs, and the credentials."
        ) from error


def retry_until_leader(
    call: Callable[..., T], *args: Any, retry_s: float = LEADER_TIMEOUT_S, **kwargs: Any
) -> T:
    """The result of `call(*args, **kwargs)`, retried while it raises `KafkaException`.

    Raises the last one after `retry_s` seconds of failures.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(KafkaException),
        wait=tenacity.wait_fixed(0.1),
        stop=tenacity.stop_after_delay(retry_s),
        reraise=True,
    )
    return retrying(call, *args, **kwargs)


class _LastLogLine(logging.Handler):
    """Remembers the last line a librdkafka client logged."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""
        self.logger = logging.Logger("librdkafka")
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        # "[thrd:host:port/bootstrap]: host:port/bootstrap: SASL authentication error: …"
        self.last = record.getMessage().rsplit("/bootstrap: ", 1)[-1]
