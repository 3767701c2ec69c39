"""A deployment for one run, removed at its end.

Embedded services get free ports and a temporary folder. On the user's Kafka and Milvus, the run has
topics, groups and a collection of its own.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream.embedded_broker import claim_port
from stream.topics import delete_topics
from workers.catalog_index import open_catalog
from workers.config.sections import EMBEDDED
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.errors import SettingsError


@contextmanager
def ephemeral_settings(settings: Settings, purpose: str) -> Iterator[Settings]:
    """`settings` with addresses and names for this run only.

    The embedded processes must have ended when the block ends.
    """
    tag = f"{purpose}_{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix=f"lookstream-{purpose}-") as folder:
        changed = settings.model_dump()
        changed["data_dir"] = Path(folder)
        changed["kafka"]["prefix"] = f"{settings.kafka.prefix}-{tag}"
        changed["milvus"]["collection"] = f"{settings.milvus.collection}_{tag}"
        if settings.kafka.embedded:
            changed["kafka"]["bootstrap"] = f"{EMBEDDED}127.0.0.1:{claim_port()}"
        if settings.milvus.embedded:
            changed["milvus"]["uri"] = f"{EMBEDDED}127.0.0.1:{claim_port()}"
        for worker in ("ingest", "query", "feedback"):
            changed[worker]["metrics_port"] = claim_port()
        changed["web"]["port"] = claim_port()
        ephemeral = Settings.model_validate(changed)
        try:
            yield ephemeral
        finally:
            if not ephemeral.kafka.embedded:
                delete_topics(kafka_of(ephemeral), topics_of(ephemeral))
            if not ephemeral.milvus.embedded:
                _drop_collection(ephemeral)


def _drop_collection(settings: Settings) -> None:
    try:
        collection, _ = open_catalog(settings)
    except SettingsError:  # nothing was indexed
        return
    with collection:
        collection.drop_all()
