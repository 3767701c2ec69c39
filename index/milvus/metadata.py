"""Collection metadata: the model of the vectors, and the bank that the items are assigned by.

A catalog's public name (`products`) is an alias; the rows are in a generation, a collection named
after its bank (`products_<bank version>`), or after the name it was built under before it was
promoted (`index.lifecycle.promote`). Moving the alias switches readers from one to the other.
"""

import msgspec

from index.errors import GenerationChanged, ModelMismatch, SearchIndexError
from index.milvus.client import Client, NotFound

PROPERTY = "lookstream.stamp"  # stored in every catalog: a new name would hide them


class CollectionMetadata(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="1"):
    """Model, bank and vector length of a generation (law 3)."""

    model_id: str
    bank_version: str
    dim: int

    def encoded(self) -> str:
        """The JSON that is stored as a property of the collection."""
        return msgspec.json.encode(self).decode()


def generation_name(name: str, bank_version: str) -> str:
    """The name of the collection for a public name and a bank."""
    return f"{name}_{bank_version}"


class ResolvedAlias(msgspec.Struct, frozen=True, kw_only=True):
    """The generation behind a name, and its metadata."""

    generation: str
    metadata: CollectionMetadata


def resolve_alias(client: Client, name: str) -> ResolvedAlias | None:
    """The generation behind a name, which is an alias or its own; None if there is none."""
    try:
        description = client.call("describe_collection", name)
    except NotFound:
        return None
    metadata = dict(description.get("properties") or {}).get(PROPERTY)
    if metadata is None:
        raise SearchIndexError(
            f"the collection {name!r} was not made by Lookstream: use another name or drop it"
        )
    decoded = msgspec.json.decode(metadata, type=CollectionMetadata)
    return ResolvedAlias(generation=str(description["collection_name"]), metadata=decoded)


def check_metadata(found: CollectionMetadata, expected: CollectionMetadata, name: str) -> None:
    """Raise unless a collection holds vectors of the expected model, assigned by its bank.

    Raises:
        ModelMismatch: it holds vectors of another model.
        GenerationChanged: they are assigned by another bank of the same model.
    """
    if (found.model_id, found.dim) != (expected.model_id, expected.dim):
        raise ModelMismatch(
            f"the collection {name!r} holds vectors of model {found.model_id!r} ({found.dim}-d) "
            f"and this process uses {expected.model_id!r} ({expected.dim}-d): configure that "
            "model, or build a new collection for this one (`lookstream reindex`)"
        )
    if found.bank_version != expected.bank_version:
        raise GenerationChanged(
            f"the collection {name!r} is assigned by bank {found.bank_version}, not by "
            f"{expected.bank_version}: load that bank and open the collection again",
            found.bank_version,
        )
