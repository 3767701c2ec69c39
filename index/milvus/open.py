"""Opening a catalog: the layout that its Milvus asks for, and what is known before it is open."""

from index.milvus.client import Client
from index.milvus.collection import Collection
from index.milvus.config import MilvusConfig
from index.milvus.lite_layout import LiteCollection
from index.milvus.metadata import CollectionMetadata, resolve_alias
from index.milvus.server_layout import ServerCollection
from index.prototypes.protocol import Bank


def open_collection(config: MilvusConfig, bank: Bank, name: str = "products") -> Collection:
    """Open a catalog for reading and writing, whether or not anything was written yet.

    Raises:
        MilvusUnavailable: Milvus does not answer.
        ModelMismatch: the catalog holds vectors of another model.
        GenerationChanged: the catalog is keyed by another bank (its version is in the error).
    """

    layout = LiteCollection if config.kind == "lite" else ServerCollection
    collection = layout(config, bank, name)
    collection.exists()
    return collection


def live_metadata(config: MilvusConfig, name: str = "products") -> CollectionMetadata | None:
    """What the generation that a public name stands for says of itself; None if there is none.

    Raises:
        MilvusUnavailable: Milvus does not answer.
    """
    client = Client(config)
    try:
        alias = resolve_alias(client, name)
    finally:
        client.close()
    return None if alias is None else alias.metadata
