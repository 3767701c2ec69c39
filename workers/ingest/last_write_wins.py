"""What an event does to a product: a pure function, last write wins per group of fields.

A product is the tuple of its items (one per picture), or one tombstone. Its pictures and words
("content") and each field of the offer have clocks of their own, and a delete is a write to all of
them. So each group holds its newest write, by the rule in `workers.ingest.group_clock`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET

from index.item import Item, tombstone
from models.catalog.coercion import Coercion
from stream.delivery import State
from stream.errors import Permanent
from stream.messages import CatalogEvent, OfferPatch, ProductDelete, ProductUpsert
from workers.ingest.event_clock import EventClock
from workers.ingest.group_clock import GroupClock, Verdict
from workers.ingest.missing import MissingPictures

CONTENT = "content"
OFFER = ("price", "currency", "in_stock", "attributes")

Product = tuple[Item, ...]


class UnknownProduct(Permanent):
    """A patch names a product that the index has never seen."""


@dataclass(frozen=True)
class Change:
    """An event ready to be applied: its version and time, and for an upsert its content.

    `content` holds one item per picture, in order, without offer and versions; `missing` are the
    pictures that it lacks. `dim` is the length of the index's vectors, and `coerced` what was
    coerced in its pictures. `thumbnails` are for the sample of the catalog's pictures
    (`workers.evidence.sample`).
    """

    event: CatalogEvent
    clock: EventClock
    dim: int
    content: Product = ()
    missing: MissingPictures | None = None
    coerced: tuple[Coercion, ...] = ()
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Applied:
    """What a change did to a product.

    `clocks_differ` are the groups of fields that it could not set although it may be newer, with
    their clocks before it.
    """

    product: Product
    state: State
    clocks_differ: dict[str, GroupClock]


def item_id(product_id: str, picture: int) -> str:
    """The key of a product's picture, counted from 0."""
    return f"{product_id}#{picture}"


def apply_change(product: Product, change: Change) -> Applied:
    """The product after the change, and whether the change had an effect.

    Raises:
        UnknownProduct: a patch for a product that was never indexed.
    """
    event = change.event
    if isinstance(event, OfferPatch) and not product:
        raise UnknownProduct(
            f"there is no product {event.product_id!r} to patch: send its upsert first, "
            "then redrive this event"
        )
    offer = dict(product[0].offer) if product else {}
    versions = dict(product[0].versions) if product else {}
    stands: list[str] = []
    clocks_differ: dict[str, GroupClock] = {}
    for group in _groups_set(event):
        before = GroupClock.of_row(versions[group]) if group in versions else GroupClock()
        after, verdict = before.after(change.clock)
        versions[group] = after.to_row()
        if verdict is Verdict.STANDS:
            stands.append(group)
        elif verdict is Verdict.CLOCKS_DIFFER:
            clocks_differ[group] = before
    content = product
    if CONTENT in stands:
        content = change.content or (
            tombstone(item_id(event.product_id, 0), event.product_id, change.dim, {}),
        )
    for group in stands:
        if group != CONTENT:
            offer[group] = None if isinstance(event, ProductDelete) else getattr(event, group)
    offer = {name: value for name, value in offer.items() if value is not None}
    # A delete that came late may still be the newest write to a field of the offer.
    late = not stands or (isinstance(event, ProductDelete) and CONTENT not in stands)
    return Applied(
        # What was seen is remembered even if nothing stands.
        tuple(msgspec.structs.replace(item, offer=offer, versions=versions) for item in content),
        State.SUPERSEDED if late else State.APPLIED,
        clocks_differ,
    )


def same_row(one: Item, other: Item) -> bool:
    """Whether writing `one` over `other` would change nothing."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("item_id", "is_tombstone", "digest", "payload", "offer", "versions")
    )


def _groups_set(event: CatalogEvent) -> list[str]:
    """The groups of fields that the event sets."""
    if isinstance(event, ProductDelete):
        return [CONTENT, *OFFER]
    offer = [name for name in OFFER if _value(event, name) is not UNSET]
    return [CONTENT, *offer] if isinstance(event, ProductUpsert) else offer


def _value(event: ProductUpsert | OfferPatch, name: str) -> Any:
    return getattr(event, name)
