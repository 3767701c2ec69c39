"""Opening a catalog in the layout of its Milvus, and reading its metadata before."""

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
        GenerationChanged: its items are assigned by another bank (the error has its version).
    """
    layout = LiteCollection if config.kind == "lite" else ServerCollection
    collection = layout(config, bank, name)
    collection.exists()
    return collection


def live_metadata(config: MilvusConfig, name: str = "products") -> CollectionMetadata | None:
    """The metadata of the generation behind a public name; None if there is none.

    Raises:
        MilvusUnavailable: Milvus does not answer.
    """
    client = Client(config)
    try:
        alias = resolve_alias(client, name)
    finally:
        client.close()
    return None if alias is None else alias.metadata
