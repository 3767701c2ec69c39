"""Products and queries through the encoder: what goes in, and the items that come out."""

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
class Draft:
    """A product whose pictures have been fetched: one part per picture, one without if none."""

    event: ProductUpsert
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Part:
    """One picture of a product: its reference, its pixels, and the digest of all it is made of.

    `digest` has two halves, of the model with the picture's bytes and of the model with the words:
    the same digest gives the same vector and juice, so that they need not be made again, and the
    same first half the same picture part of them.
    """

    reference: str | None
    picture: Picture | None
    digest: str


def picture_references(event: ProductUpsert) -> list[str]:
    """The event's pictures, the main one first, each once."""
    references = [event.image] if event.image else []
    return list(dict.fromkeys([*references, *event.images]))


def draft(event: ProductUpsert, pictures: Sequence[tuple[bytes, Picture]], model_id: str) -> Draft:
    """The product with its `pictures`: bytes and pixels, in the order of `picture_references`."""
    references = picture_references(event)
    if not references:
        return Draft(event, (Part(None, None, _digest(event, NO_PICTURE, model_id)),))
    return Draft(
        event,
        tuple(
            Part(reference, picture, _digest(event, data, model_id))
            for reference, (data, picture) in zip(references, pictures, strict=True)
        ),
    )


def make_products(
    drafts: Sequence[Draft], encoder: CatalogEncoder, known: Mapping[str, Item] | None = None
) -> list[Product]:
    """The items of each product, not yet assigned to prototypes.

    `known` are items by digest, with their vectors, that need not be encoded again (juice once);
    where only the words changed, only the words are.
    """
    made = dict(known or {})
    seen = {_picture_half(digest): item for digest, item in made.items() if encoder.replaces_text}
    fresh = {
        part.digest: (part, one.event)
        for one in drafts
        for part in one.parts
        if part.digest not in made
    }
    encoded = encoder.encode_items(
        [_look(part, seen.get(_picture_half(part.digest))) for part, _ in fresh.values()],
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
                made[part.digest],
                item_id=item_id(one.event.product_id, number),
                product_id=one.event.product_id,
                payload=_payload(one.event, part, made[part.digest].payload["caption"]),
                offer={},
                versions={},
            )
            for number, part in enumerate(one.parts)
        )
        for one in drafts
    ]


def _payload(event: ProductUpsert, part: Part, caption: str) -> dict[str, Any]:
    # A data: URI is the picture itself; it has done its work and would only swell the row.
    shown = part.reference if not (part.reference or "").lower().startswith("data:") else None
    return {
        "title": event.title,
        "description": event.description,
        "category": list(event.category),
        "image": shown,
        "caption": caption,
    }


def _look(part: Part, seen: Item | None) -> Picture | Encoded | None:
    """What the encoder has to look at: the picture, or the item that was made of it before."""
    if part.picture is None or seen is None or seen.vector is None:
        return part.picture
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
