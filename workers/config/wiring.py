"""Addresses and credentials from the settings, as `stream` and `index` take them."""

from __future__ import annotations

from index.milvus.config import MilvusConfig
from stream.connection import Kafka
from stream.schema_registry import SchemaRegistry
from stream.topics import Topics, topic_map
from workers.config.secrets import secret
from workers.config.sections import KafkaSettings
from workers.config.settings import Settings


def kafka_of(settings: Settings) -> Kafka:
    """Address and credentials of the broker."""
    kafka = settings.kafka
    return Kafka(
        bootstrap=kafka.servers,
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism,
        username=kafka.username,
        password=secret(kafka, "password"),
        ca_file=str(kafka.ca_file) if kafka.ca_file else None,
        cert_file=str(kafka.cert_file) if kafka.cert_file else None,
        key_file=str(kafka.key_file) if kafka.key_file else None,
        key_password=secret(kafka, "key_password"),
        session_timeout_s=kafka.session_timeout_s,
        schema_registry=_registry_of(kafka),
    )


def _registry_of(kafka: KafkaSettings) -> SchemaRegistry | None:
    if kafka.schema_registry is None:
        return None
    return SchemaRegistry(
        kafka.schema_registry,
        kafka.schema_registry_username,
        secret(kafka, "schema_registry_password"),
    )


def topics_of(settings: Settings) -> Topics:
    """The topics of this deployment."""
    return topic_map(settings.kafka.prefix)


def catalog_topics(settings: Settings) -> tuple[str, ...]:
    """The names of the topics that catalog events come from.

    Those that bring whole products come before those that bring their offers alone, so that a
    replay of one after the other finds every product that a patch is for.
    """
    own, others, mapping = topics_of(settings).catalog.name, settings.catalog.topics, None
    if others:
        mapping = settings.catalog.mapping
    ordered = (*others, own) if mapping and mapping.has_content else (own, *others)
    return tuple(dict.fromkeys(ordered))


def milvus_config_of(settings: Settings) -> MilvusConfig:
    """Address, credentials and physical layout of the index."""
    milvus = settings.milvus
    return MilvusConfig(
        uri=milvus.address,
        token=secret(milvus, "token"),
        ca_file=str(milvus.ca_file) if milvus.ca_file else None,
        cert_file=str(milvus.cert_file) if milvus.cert_file else None,
        key_file=str(milvus.key_file) if milvus.key_file else None,
        server_name=milvus.server_name,
        kind=milvus.layout,
        mirror_dir=str(settings.mirror_dir),
    )
