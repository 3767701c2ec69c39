"""Products and the encoder: what goes in, and the items that come out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from index.item import PROVENANCE, Item
from models.catalog.coercion import Coercion
from models.catalog.folder import product_text
from models.embedding.protocol import CatalogEncoder, Encoded
from models.images.letterbox import Picture
from models.juicer.juice import Juice
from stream.messages import ProductUpsert
from workers.deploy.telemetry import ENCODED
from workers.errors import IntakeError
from workers.evidence.predicted_attributes import (
    SUGGESTED,
    AttributePredictor,
    Suggestion,
    stored_suggestion,
)
from workers.ingest.last_write_wins import Product, item_id
from workers.ingest.missing import MissingPictures
from workers.intake.download import NO_VALIDATORS, Validators

NO_PICTURE = b""
EXTRACTED = ("caption", SUGGESTED)
"""What a payload has that was made of the picture and the words, not given."""


@dataclass(frozen=True)
class FetchedProduct:
    """A product whose pictures were fetched: one source per picture that is there.

    Without pictures there is one source of its words, and none if it has neither. `missing` says
    which pictures could not be had. `known` are stored items by digest that need not be encoded
    again, and those that stand for pictures which were not decoded.
    """

    event: ProductUpsert
    sources: tuple[ItemSource, ...]
    known: Mapping[str, Item]
    missing: MissingPictures | None = None

    @property
    def coercions(self) -> tuple[Coercion, ...]:
        """What was coerced in its pictures."""
        truncated = any(one.picture and one.picture.truncated for one in self.sources)
        return (Coercion.PICTURE_TRUNCATED,) if truncated else ()

    @property
    def pictures(self) -> list[tuple[str, Picture | None]]:
        """Digest and pixels of each picture, as `workers.evidence.sample` takes them."""
        return [(one.picture.digest, one.picture.pixels) for one in self.sources if one.picture]


@dataclass(frozen=True)
class FetchedPicture:
    """A picture that is there: the digest of its bytes, its pixels, and how to ask for it again.

    `pixels` is None where an item that is stored can stand for the picture (`StoredPictures`).
    `truncated`: it was decoded, and its file lacks its last bytes.
    """

    digest: str
    pixels: Picture | None
    validators: Validators = NO_VALIDATORS
    truncated: bool = False


@dataclass(frozen=True)
class ItemSource:
    """What an item is encoded from: a picture, and the digest of all inputs.

    `number` is that of the picture in its product, so that an item keeps its id while others are
    missing. `digest` has two parts, of the model with the picture's bytes and of the model with the
    words. The same digest gives the same vector and juice, so that they need not be computed again;
    the same first part gives the same picture part of them.
    """

    number: int
    reference: str | None
    picture: FetchedPicture | None
    digest: str


@dataclass(frozen=True)
class StoredPictures:
    """A product's stored items that can stand for their pictures in an event.

    A picture with one of these digests need not be decoded, and one under one of these references
    need not be sent if it did not change.
    """

    by_digest: Mapping[str, Item]
    by_reference: Mapping[str, Item]

    @classmethod
    def of(cls, product: Product, event: ProductUpsert, encoder: CatalogEncoder) -> StoredPictures:
        """Those of the product as it is stored; with other words only if the encoder allows it."""
        words = _words_digest(event, encoder.model_id)
        items = [
            item
            for item in product
            if not item.is_tombstone
            and (encoder.replaces_text or item.digest.partition("-")[2] == words)
        ]
        return cls(
            {picture_part(item.digest): item for item in items},
            {item.payload["image"]: item for item in items if item.payload["image"]},
        )

    def validators(self, reference: str) -> Validators:
        """Those of the picture under this reference when it was fetched."""
        item = self.by_reference.get(reference)
        return Validators.of(item.payload.get(PROVENANCE, {})) if item else NO_VALIDATORS

    def kept(self, reference: str) -> FetchedPicture | None:
        """The picture that was had under this reference before."""
        if reference not in self.by_reference:
            return None
        return self.unchanged(reference, self.validators(reference))

    def unchanged(self, reference: str, validators: Validators) -> FetchedPicture:
        """The picture under this reference, which did not change."""
        return FetchedPicture(picture_part(self.by_reference[reference].digest), None, validators)


def picture_references(event: ProductUpsert) -> list[str]:
    """The event's pictures, the main one first, each once."""
    references = [event.image] if event.image else []
    return list(dict.fromkeys([*references, *event.images]))


def picture_digest(data: bytes, model_id: str) -> str:
    """The digest of a picture's bytes."""
    return _hash(model_id, data)


def fetched_product(
    event: ProductUpsert,
    pictures: Sequence[FetchedPicture | IntakeError],
    model_id: str,
    stored: StoredPictures | None = None,
) -> FetchedProduct:
    """The product with its `pictures`, or why they are missing, by `picture_references`."""
    known = {item.digest: item for item in stored.by_digest.values()} if stored else {}
    words = _words_digest(event, model_id)
    sources: list[ItemSource] = []
    references = picture_references(event)
    missing: dict[int, IntakeError] = {}
    for number, (reference, one) in enumerate(zip(references, pictures, strict=True)):
        picture = None if isinstance(one, IntakeError) else one
        if isinstance(one, IntakeError):
            missing[number] = one
            # As it was indexed before, if it was.
            picture = stored.kept(reference) if stored else None
        if picture is not None:
            sources.append(ItemSource(number, reference, picture, f"{picture.digest}-{words}"))
    if not sources and (not missing or product_text(event.title, event.description)):
        no_picture = picture_digest(NO_PICTURE, model_id)
        sources.append(ItemSource(0, None, None, f"{no_picture}-{words}"))
    gone = MissingPictures.of(missing, references) if missing else None
    return FetchedProduct(event, tuple(sources), known, gone)


def encode_products(
    fetched: Sequence[FetchedProduct],
    encoder: CatalogEncoder,
    own: AttributePredictor | None = None,
) -> list[Product]:
    """The items of each product, not yet assigned to prototypes.

    What is known is not encoded again (juice once); where only the words changed, only the words
    are encoded. With ``own`` the attributes predicted for new items are stored beside what their
    products say, and a colour is read with their texts.
    """
    made = {digest: item for one in fetched for digest, item in one.known.items()}
    seen = {picture_part(digest): item for digest, item in made.items() if encoder.replaces_text}
    fresh = {
        source.digest: (source, one.event)
        for one in fetched
        for source in one.sources
        if source.digest not in made
    }
    inputs = [
        _encoder_input(source, seen.get(picture_part(source.digest)))
        for source, _ in fresh.values()
    ]
    encoded = encoder.encode_items(
        inputs,
        [product_text(event.title, event.description) for _, event in fresh.values()],
        categories=[event.category for _, event in fresh.values()],
    )
    for given in inputs:
        words_only = given is None or isinstance(given, Encoded)
        ENCODED.labels("words" if words_only else "picture").inc()
    events = [event for _, event in fresh.values()]
    predicted = _suggestions(encoded, events, own)
    encoded = _with_colours(encoded, events, predicted, encoder)
    for digest, one, suggestion in zip(fresh, encoded, predicted, strict=True):
        made[digest] = Item(
            item_id="",
            product_id="",
            prototype=0,
            vector=one.vector,
            payload={"caption": one.juice.caption, **stored_suggestion(suggestion)},
            digest=digest,
            juice=one.juice.to_bytes(),
        )
    return [
        tuple(
            msgspec.structs.replace(
                made[source.digest],
                item_id=item_id(one.event.product_id, source.number),
                product_id=one.event.product_id,
                payload=_payload(one.event, source, made[source.digest].payload),
                offer={},
                versions={},
            )
            for source in one.sources
        )
        for one in fetched
    ]


def with_colour(text: str, colour: str) -> str:
    """A product's words with a colour predicted from its picture; as they are without one."""
    return ", ".join(part for part in (text, colour) if part)


def _suggestions(
    encoded: Sequence[Encoded], events: Sequence[ProductUpsert], own: AttributePredictor | None
) -> list[Suggestion]:
    """Attributes predicted for products whose events do not say them."""
    if own is None or not encoded:
        return [Suggestion()] * len(encoded)
    return own.suggest(
        np.stack([one.vector for one in encoded]),
        [product_text(event.title, event.description) or "" for event in events],
        [event.category for event in events],
        [event.attributes or {} for event in events],
    )


def _with_colours(
    encoded: Sequence[Encoded],
    events: Sequence[ProductUpsert],
    predicted: Sequence[Suggestion],
    encoder: CatalogEncoder,
) -> list[Encoded]:
    """The items with a predicted colour, with that word in their texts; the others as given."""
    coloured = [at for at, one in enumerate(predicted) if one.colour]
    texts = [
        with_colour(
            product_text(events[at].title, events[at].description) or "", predicted[at].colour
        )
        for at in coloured
    ]
    again = encoder.encode_items(
        [encoded[at] for at in coloured], texts, categories=[events[at].category for at in coloured]
    )
    replaced = dict(zip(coloured, again, strict=True))
    return [replaced.get(at, one) for at, one in enumerate(encoded)]


def _payload(
    event: ProductUpsert, source: ItemSource, extracted: Mapping[str, Any]
) -> dict[str, Any]:
    # A data: URI is the picture itself, which is not needed any more and would swell the row.
    shown = source.reference if not (source.reference or "").lower().startswith("data:") else None
    provenance = source.picture.validators.values() if source.picture else {}
    return {
        "title": event.title,
        "description": event.description,
        "category": list(event.category),
        "image": shown,
        **{name: extracted[name] for name in EXTRACTED if name in extracted},
        **({PROVENANCE: provenance} if provenance else {}),
    }


def _encoder_input(source: ItemSource, seen: Item | None) -> Picture | Encoded | None:
    """What the encoder gets: the picture, or the item that was encoded from it before."""
    if source.picture is None:
        return None
    if seen is None or seen.vector is None:
        return source.picture.pixels
    return Encoded(seen.vector, Juice.from_bytes(seen.juice))


def _words_digest(event: ProductUpsert, model_id: str) -> str:
    words = (event.title, event.description, *event.category)
    return _hash(model_id, *(word.encode() for word in words))


def picture_digests(product: Product) -> set[str]:
    """The digests of a product's pictures, and one for words without a picture."""
    return {picture_part(item.digest) for item in product if not item.is_tombstone}


def picture_part(digest: str) -> str:
    """The digest of the picture in that of an item."""
    return digest.partition("-")[0]


def _hash(model_id: str, *parts: bytes) -> str:
    """SHA-256 of the parts, each behind its length, so that none can pass for two."""
    digest = hashlib.sha256()
    for part in (model_id.encode(), *parts):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
