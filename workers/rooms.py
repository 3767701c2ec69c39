"""The settings, said to each room in its own words."""

from __future__ import annotations

from index.store import Store
from stream.connection import Kafka
from stream.topics import Topics, topic_map
from workers.settings import Settings


def kafka_of(settings: Settings) -> Kafka:
    """Address and credentials of the broker."""
    kafka = settings.kafka
    return Kafka(
        bootstrap=kafka.bootstrap,
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism,
        username=kafka.username,
        password=kafka.password.get_secret_value() if kafka.password else None,
        ca_file=str(kafka.ca_file) if kafka.ca_file else None,
        cert_file=str(kafka.cert_file) if kafka.cert_file else None,
        key_file=str(kafka.key_file) if kafka.key_file else None,
    )


def topics_of(settings: Settings) -> Topics:
    """The topics of this deployment."""
    return topic_map(settings.kafka.prefix)


def store_of(settings: Settings) -> Store:
    """Address, credentials and physical layout of the index."""
    milvus = settings.milvus
    return Store(
        uri=milvus.uri,
        token=milvus.token.get_secret_value() if milvus.token else None,
        kind=milvus.kind,
    )
