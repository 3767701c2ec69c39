"""The settings, said to each room in its own words."""

from __future__ import annotations

from threadpoolctl import threadpool_limits

from index.milvus.config import MilvusConfig
from models.embedding.encoder import Encoder, load_encoder
from models.reranking.linear import Reranker, load_reranker, packaged_reranker
from stream.connection import Kafka
from stream.topics import Topics, topic_map
from workers.config.secrets import secret
from workers.config.settings import Settings
from workers.errors import SettingsError


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
    )


def topics_of(settings: Settings) -> Topics:
    """The topics of this deployment."""
    return topic_map(settings.kafka.prefix)


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
    )


def encoder_of(settings: Settings) -> Encoder:
    """The encoder, loaded; a minute the first time on a machine, seconds after."""
    # The network's own threads use every core; those of matrix products beside them only get in
    # their way: a query took twice as long with both.
    threadpool_limits(1, user_api="blas")
    models = settings.models
    return load_encoder(
        models.device, models.backbone, models.threads or None, models.projection, models.dim
    )


def reranker_of(settings: Settings, encoder: Encoder) -> Reranker:
    """The reranker with the parameters that were fitted on this encoder.

    Raises:
        SettingsError: they were fitted on another one, so that its scores would mean nothing.
    """
    models = settings.models
    reranker = load_reranker(models.reranker or packaged_reranker(models.backbone))
    if reranker.parameters.encoder != encoder.model_id:
        raise SettingsError(
            f"the reranker was fitted on {reranker.parameters.encoder}, the encoder is "
            f"{encoder.model_id}: run `lookstream train reranker DIR --out FILE` and set "
            "models.reranking.linear to that file"
        )
    return reranker
