"""Opening a catalog: the layout that its store asks for."""

from index.milvus.collection import Collection
from index.milvus.config import MilvusConfig
from index.milvus.lite_layout import LiteCollection
from index.milvus.server_layout import ServerCollection
from index.prototypes.bank import PrototypeBank


def open_collection(
    config: MilvusConfig, bank: PrototypeBank, name: str = "products"
) -> Collection:
    """Open a catalog for reading and writing, whether or not anything was written yet.

    Raises:
        StoreUnavailable: Milvus does not answer.
        ModelMismatch: the catalog holds vectors of another model.
        GenerationChanged: the catalog is keyed by another bank (its version is in the error).
    """

    layout = LiteCollection if config.kind == "lite" else ServerCollection
    collection = layout(config, bank, name)
    collection.exists()
    return collection
