"""The topic map: names, keys, partitions, retention, and their creation.

Topics are created here and nowhere else: workers expect them, and brokers of production
clusters rarely create topics on their own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream.connection import MAX_MESSAGE_BYTES, MAX_RECORD_BYTES, Kafka, check_broker
from stream.errors import BrokerError

FOREVER = -1
DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic. `retention_ms` is in milliseconds, `FOREVER` for no limit.

    `key` says what its records are keyed by: Kafka keeps the order only within a key.
    """

    name: str
    key: str
    partitions: int
    retention_ms: int
    cleanup_policy: str = "delete"
    max_message_bytes: int = MAX_MESSAGE_BYTES

    def config(self) -> dict[str, str]:
        """The broker's settings of this topic."""
        return {
            "cleanup.policy": self.cleanup_policy,
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
        }


@dataclass(frozen=True, kw_only=True)
class Topics:
    """Every topic of one deployment; iterates over them."""

    catalog: Topic
    query: Topic
    result: Topic
    impression: Topic
    click: Topic
    attributed_click: Topic
    dead_letter: Topic
    outcome: Topic

    def __iter__(self) -> Iterator[Topic]:
        return (getattr(self, field.name) for field in fields(self))


def topic_map(
    prefix: str = "lookstream", *, catalog_partitions: int = 4, query_partitions: int = 2
) -> Topics:
    """Return the topics of the deployment called `prefix`.

    Partitions bound how many workers share the work: `catalog_partitions` for ingest,
    `query_partitions` for query and feedback.
    """
    month = 30 * DAY_MS
    return Topics(
        # Not compacted: an upsert and the patches after it share their key, and compaction
        # would keep the patch and lose the product. So everything is kept, and replays rebuild
        # the index from the beginning.
        catalog=Topic(
            name=f"{prefix}.catalog",
            key="product_id",
            partitions=catalog_partitions,
            retention_ms=FOREVER,
        ),
        # Kept for a day: they are worthless later, and queries carry pictures.
        query=Topic(
            name=f"{prefix}.query",
            key="query_id",
            partitions=query_partitions,
            retention_ms=DAY_MS,
        ),
        result=Topic(
            name=f"{prefix}.result",
            key="query_id",
            partitions=query_partitions,
            retention_ms=DAY_MS,
        ),
        # Impressions and clicks are joined by query_id, partition with partition.
        impression=Topic(
            name=f"{prefix}.impression",
            key="query_id",
            partitions=query_partitions,
            retention_ms=month,
        ),
        click=Topic(
            name=f"{prefix}.click",
            key="query_id",
            partitions=query_partitions,
            retention_ms=month,
        ),
        # What models learn from. Compacted: a replayed join writes the same click again, and
        # one of the copies is enough.
        attributed_click=Topic(
            name=f"{prefix}.attributed-click",
            key="click_id",
            partitions=query_partitions,
            retention_ms=FOREVER,
            cleanup_policy="compact",
        ),
        # Kept until somebody has looked. The largest message still fits with its headers.
        dead_letter=Topic(
            name=f"{prefix}.dead-letter",
            key="the key of the rejected record",
            partitions=1,
            retention_ms=FOREVER,
            max_message_bytes=MAX_RECORD_BYTES,
        ),
        # For producers that wait; worthless later.
        outcome=Topic(
            name=f"{prefix}.outcome",
            key="topic/partition of the records",
            partitions=1,
            retention_ms=DAY_MS,
        ),
    )


def create_topics(
    kafka: Kafka, topics: Iterable[Topic], replication_factor: int = 1, *, timeout_s: float = 30.0
) -> list[str]:
    """Create the topics that are missing and return their names; those that exist are untouched.

    Raises `BrokerError` if Kafka cannot be reached or rejects a topic; the text says which and why.
    """
    brokers = check_broker(kafka, timeout_s)
    if replication_factor > brokers:
        raise BrokerError(
            f"replication factor {replication_factor} needs as many brokers, and "
            f"{kafka.bootstrap} has {brokers}: lower the factor or add brokers"
        )
    admin = AdminClient(kafka.confluent())
    missing = missing_topics(kafka, topics, timeout_s=timeout_s)
    wanted = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=replication_factor,
            config=topic.config(),
        )
        for topic in topics
        if topic.name in missing
    ]
    if not wanted:
        return []
    created = []
    for name, future in admin.create_topics(wanted, operation_timeout=timeout_s).items():
        try:
            future.result()
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            # Another process created it since we listed the topics.
            if reason.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerError(f"topic {name} was not created: {reason.str()}") from error
        else:
            created.append(name)
    return created


def missing_topics(kafka: Kafka, topics: Iterable[Topic], *, timeout_s: float = 30.0) -> list[str]:
    """The names of those topics that do not exist; raises `BrokerError` without an answer."""
    check_broker(kafka, timeout_s)
    existing = AdminClient(kafka.confluent()).list_topics(timeout=timeout_s).topics
    return [topic.name for topic in topics if topic.name not in existing]


Place = tuple[str, int]
"""A topic's name, and a partition of it."""


def all_partitions(
    kafka: Kafka, names: Iterable[str], *, timeout_s: float = 30.0
) -> frozenset[Place]:
    """Every partition of these topics; raises `BrokerError` if one does not exist."""
    check_broker(kafka, timeout_s)
    existing = AdminClient(kafka.confluent()).list_topics(timeout=timeout_s).topics
    places: set[Place] = set()
    for name in names:
        if name not in existing:
            raise BrokerError(
                f"topic {name} does not exist: create it first, or correct catalog.topics"
            )
        places |= {(name, partition) for partition in existing[name].partitions}
    return frozenset(places)


def delete_topics(kafka: Kafka, topics: Iterable[Topic], *, timeout_s: float = 30.0) -> None:
    """Delete the topics and all that is in them; those that do not exist are no error.

    Raises `BrokerError` if Kafka cannot be reached or refuses.
    """
    check_broker(kafka, timeout_s)
    admin = AdminClient(kafka.confluent())
    names = [topic.name for topic in topics]
    for name, future in admin.delete_topics(names, operation_timeout=timeout_s).items():
        try:
            future.result()
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise BrokerError(f"topic {name} was not deleted: {reason.str()}") from error
