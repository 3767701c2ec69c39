"""Products and the encoder: what goes in, and the items that come out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from index.item import Item
from models.catalog.folder import product_text
from models.embedding.protocol import CatalogEncoder, Encoded
from models.images.letterbox import Picture
from models.juicer.juice import Juice
from stream.messages import ProductUpsert
from workers.ingest.last_write_wins import Product, item_id

NO_PICTURE = b""


@dataclass(frozen=True)
class FetchedProduct:
    """A product whose pictures were fetched: one source per picture, one without if none."""

    event: ProductUpsert
    sources: tuple[ItemSource, ...]


@dataclass(frozen=True)
class ItemSource:
    """What an item is encoded from: a picture's reference and pixels, and the digest of all inputs.

    `digest` has two halves, of the model with the picture's bytes and of the model with the words.
    The same digest gives the same vector and juice, so that they need not be computed again; the
    same first half gives the same picture part of them.
    """

    reference: str | None
    picture: Picture | None
    digest: str


def picture_references(event: ProductUpsert) -> list[str]:
    """The event's pictures, the main one first, each once."""
    references = [event.image] if event.image else []
    return list(dict.fromkeys([*references, *event.images]))


def fetched_product(
    event: ProductUpsert, pictures: Sequence[tuple[bytes, Picture]], model_id: str
) -> FetchedProduct:
    """The product with its `pictures`: bytes and pixels, in the order of `picture_references`."""
    references = picture_references(event)
    if not references:
        return FetchedProduct(
            event, (ItemSource(None, None, _digest(event, NO_PICTURE, model_id)),)
        )
    return FetchedProduct(
        event,
        tuple(
            ItemSource(reference, picture, _digest(event, data, model_id))
            for reference, (data, picture) in zip(references, pictures, strict=True)
        ),
    )


def encode_products(
    fetched: Sequence[FetchedProduct],
    encoder: CatalogEncoder,
    known: Mapping[str, Item] | None = None,
) -> list[Product]:
    """The items of each product, not yet assigned to prototypes.

    `known` are items by digest, with their vectors, that need not be encoded again (juice once);
    where only the words changed, only the words are encoded.
    """
    made = dict(known or {})
    seen = {_picture_half(digest): item for digest, item in made.items() if encoder.replaces_text}
    fresh = {
        source.digest: (source, one.event)
        for one in fetched
        for source in one.sources
        if source.digest not in made
    }
    encoded = encoder.encode_items(
        [
            _encoder_input(source, seen.get(_picture_half(source.digest)))
            for source, _ in fresh.values()
        ],
        [product_text(event.title, event.description) for _, event in fresh.values()],
        categories=[event.category for _, event in fresh.values()],
    )
    for digest, one in zip(fresh, encoded, strict=True):
        made[digest] = Item(
            item_id="",
            product_id="",
            prototype=0,
            vector=one.vector,
            payload={"caption": one.juice.caption},
            digest=digest,
            juice=one.juice.to_bytes(),
        )
    return [
        tuple(
            msgspec.structs.replace(
                made[source.digest],
                item_id=item_id(one.event.product_id, number),
                product_id=one.event.product_id,
                payload=_payload(one.event, source, made[source.digest].payload["caption"]),
                offer={},
                versions={},
            )
            for number, source in enumerate(one.sources)
        )
        for one in fetched
    ]


def _payload(event: ProductUpsert, source: ItemSource, caption: str) -> dict[str, Any]:
    # A data: URI is the picture itself, which is not needed any more and would swell the row.
    shown = source.reference if not (source.reference or "").lower().startswith("data:") else None
    return {
        "title": event.title,
        "description": event.description,
        "category": list(event.category),
        "image": shown,
        "caption": caption,
    }


def _encoder_input(source: ItemSource, seen: Item | None) -> Picture | Encoded | None:
    """What the encoder gets: the picture, or the item that was encoded from it before."""
    if source.picture is None or seen is None or seen.vector is None:
        return source.picture
    return Encoded(seen.vector, Juice.from_bytes(seen.juice))


def _digest(event: ProductUpsert, picture: bytes, model_id: str) -> str:
    words = (event.title, event.description, *event.category)
    return f"{_hash(model_id, picture)}-{_hash(model_id, *(word.encode() for word in words))}"


def _picture_half(digest: str) -> str:
    return digest.partition("-")[0]


def _hash(model_id: str, *parts: bytes) -> str:
    """SHA-256 of the parts, each behind its length, so that none can pass for two."""
    digest = hashlib.sha256()
    for part in (model_id.encode(), *parts):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
