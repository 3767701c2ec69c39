"""The settings, said to each room in its own words."""

from __future__ import annotations

from index.collection import Store
from models.embedding import Encoder, load_encoder
from models.reranker import Reranker, load_reranker
from stream.connection import Kafka
from stream.topics import Topics, topic_map
from workers.settings import Settings


def kafka_of(settings: Settings) -> Kafka:
    """Address and credentials of the broker."""
    kafka = settings.kafka
    return Kafka(
        bootstrap=kafka.servers,
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
        uri=milvus.address,
        token=milvus.token.get_secret_value() if milvus.token else None,
        kind=milvus.layout,
    )


def encoder_of(settings: Settings) -> Encoder:
    """The encoder, loaded; a minute the first time on a machine, seconds after."""
    models = settings.models
    return load_encoder(models.device, models.backbone, models.threads or None, models.projection)


def reranker_of(settings: Settings) -> Reranker:
    """The reranker with its fitted parameters."""
    path = settings.models.reranker
    return load_reranker(path) if path else load_reranker()
