"""Which broker a bench runs against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.kafka import KafkaCluster
from workers.config.settings import Settings, load_settings

BROKERS = ("settings", "kafka")


@contextmanager
def settings_for(broker: str) -> Iterator[Settings]:
    """The settings as they are, or with an Apache Kafka that runs meanwhile ("kafka").

    Raises:
        ServerMissing: Apache Kafka cannot be had here.
    """
    settings = load_settings()
    if broker != "kafka":
        yield settings
        return
    with KafkaCluster(1) as cluster:
        changed = settings.model_dump()
        changed["kafka"]["bootstrap"] = cluster.plain.bootstrap
        yield Settings.model_validate(changed)
