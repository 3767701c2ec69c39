"""Items: what a search finds, with what the reranker needs of them."""

import hashlib
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import orjson

from index.errors import RowRejected

Vector = npt.NDArray[np.float32]

TOMBSTONE = -1
"""The prototype of a tombstone: kept so that late events find it, never searched or counted."""

PROVENANCE = "source"
"""The key of the payload under which is how its picture was had: that is not part of what it is."""


class Item(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One picture (or only text) of one product, as the index stores it.

    Attributes:
        item_id: unique in the collection, 1..1024 bytes of UTF-8.
        product_id: what it shows; several items may share it, 1..512 bytes of UTF-8.
        prototype: index of its nearest prototype in the bank, or ``TOMBSTONE``.
        vector: float32 of shape (d,), ℓ2-normalised; None where vectors were not asked for.
        payload: JSON that changes with the content (title, category, image, caption, …).
        offer: JSON that changes without it (price, currency, in_stock, attributes).
        versions: JSON by which the writer orders writes to each group of fields, opaque here.
        digest: hash of what the content was made from, so that nothing is encoded twice.
        juice: features for the reranker (law 4), opaque here, at most 48 KiB.
    """

    item_id: str
    product_id: str
    prototype: int
    vector: Vector | None = None
    payload: dict[str, Any] = {}
    offer: dict[str, Any] = {}
    versions: dict[str, Any] = {}
    digest: str = ""
    juice: bytes = b""

    @property
    def is_tombstone(self) -> bool:
        """Whether this is the tombstone of a deleted item."""
        return self.prototype == TOMBSTONE


class Hit(msgspec.Struct, frozen=True, eq=False):
    """An item that a search found, with its cosine to the query (−1..1)."""

    item: Item
    similarity: float


def tombstone(item_id: str, product_id: str, dim: int, versions: dict[str, Any]) -> Item:
    """The row that replaces a deleted item, so that an older event cannot restore it (law 2)."""
    vector = np.zeros(dim, np.float32)
    vector[0] = 1  # any unit vector: a row must have one, and no search includes it
    return Item(
        item_id=item_id,
        product_id=product_id,
        prototype=TOMBSTONE,
        vector=vector,
        versions=versions,
    )


def canonical_json(value: dict[str, Any], what: str) -> bytes:
    """A JSON object with sorted keys and no spaces, so that equal objects give equal bytes.

    Raises:
        RowRejected: it holds something that JSON or 64-bit integers cannot.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise RowRejected(f"the {what} cannot be written as JSON: {error}") from error


def content_digest(item: Item) -> bytes:
    """SHA-256 (32 bytes) of all that affects search results.

    Versions, the prototype and the payload's ``PROVENANCE`` are left out: they record how the row
    was written, not its content.
    """
    payload = {name: value for name, value in item.payload.items() if name != PROVENANCE}
    vector = np.zeros(0, np.float32) if item.vector is None else item.vector
    digest = hashlib.sha256()
    for part in (
        item.item_id.encode(),
        item.product_id.encode(),
        vector.astype("<f4").tobytes(),
        canonical_json(payload, "payload"),
        canonical_json(item.offer, "offer"),
        item.digest.encode(),
        item.juice,
    ):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
