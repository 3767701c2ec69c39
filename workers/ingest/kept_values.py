"""Filling in what a record leaves out because it did not change, or was said before.

A database that logs changes leaves out large values that an update did not touch. An upsert
replaces all content, so the values come from the event before it: of the same batch, or what is
stored. Which event stands is decided as at writing, by the clocks of each group of fields.

A tombstone has no version. Where the events of its product have them, the delete before it said
that the row is gone, and a connector that starts again repeats both after newer events of the same
key: so it changes nothing there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from index.item import Item
from stream.delivery import Rejection
from stream.messages import CatalogEvent, OfferPatch, ProductDelete, ProductUpsert
from stream.records import Record
from workers.errors import ValueNotInRecord
from workers.ingest.event_clock import event_clock
from workers.ingest.group_clock import GroupClock, Verdict
from workers.ingest.items import picture_part, picture_references
from workers.ingest.last_write_wins import CONTENT, Product
from workers.ingest.read_event import Nothing, ReadEvent

Read = ReadEvent | Nothing | Rejection
ATTRIBUTES = "attributes"
PICTURES = frozenset({"image", "images"})


def fill_kept(
    records: Sequence[Record],
    reads: Sequence[Read],
    stored: Mapping[str, Product],
    no_picture: str,
) -> list[Read]:
    """The reads of a batch in their order, each event with all of its values.

    `stored` holds their products, and `no_picture` is the digest in items that have no picture. An
    event is rejected whose values nobody has: its product is not known, or was deleted.
    """
    if not any(isinstance(read, ReadEvent) and (read.keeps or read.tombstone) for read in reads):
        return list(reads)
    known: dict[str, _Known] = {}
    filled: list[Read] = []
    for record, read in zip(records, reads, strict=True):
        one = read
        if isinstance(one, ReadEvent):
            product_id = one.event.product_id
            before = known.get(product_id) or _Known.of(stored[product_id], no_picture)
            if one.tombstone and before.versioned:
                filled.append(Nothing())
                continue
            try:
                one = ReadEvent(_filled(one, before), one.coercions)
            except ValueNotInRecord as error:
                if before.replaced_by(one.event, record):
                    one = Rejection.of(error)  # a late event changes nothing, whatever it holds
            if isinstance(one, ReadEvent):
                known[product_id] = before.after(one.event, record)
        filled.append(one)
    return filled


@dataclass(frozen=True)
class _Known:
    """What is known of a product between two events; `content` is None while it is not there.

    `versioned`: an event of it had a version.
    """

    clocks: Mapping[str, GroupClock]
    content: _Content | None
    attributes: Mapping[str, Any]
    versioned: bool

    @classmethod
    def of(cls, product: Product, no_picture: str) -> _Known:
        clocks = {
            group: GroupClock.of_row(row)
            for group, row in (product[0].versions if product else {}).items()
        }
        versioned = any(clock.version is not None for clock in clocks.values())
        if not product or product[0].is_tombstone:
            return cls(clocks, None, {}, versioned)
        return cls(
            clocks,
            _Content.of_items(product, no_picture),
            product[0].offer.get(ATTRIBUTES) or {},
            versioned,
        )

    def replaced_by(self, event: CatalogEvent, record: Record) -> bool:
        """Whether an event would stand in place of this content."""
        clock = self.clocks.get(CONTENT, GroupClock())
        return clock.after(event_clock(event, record))[1] is Verdict.STANDS

    def after(self, event: CatalogEvent, record: Record) -> _Known:
        """What is known after an event whose values are all there."""
        clock = event_clock(event, record)
        clocks, content, attributes = dict(self.clocks), self.content, self.attributes
        if not isinstance(event, OfferPatch):
            clocks[CONTENT], verdict = clocks.get(CONTENT, GroupClock()).after(clock)
            if verdict is Verdict.STANDS:
                content = _Content.of_event(event) if isinstance(event, ProductUpsert) else None
        given = None if isinstance(event, ProductDelete) else event.attributes
        if given is not UNSET:
            clocks[ATTRIBUTES], verdict = clocks.get(ATTRIBUTES, GroupClock()).after(clock)
            if verdict is Verdict.STANDS:
                attributes = given or {}
        versioned = self.versioned or event.version is not None
        return _Known(clocks, content, attributes, versioned)


@dataclass(frozen=True)
class _Content:
    """Texts, category, and the references of pictures, None for one that came inside its event."""

    title: str
    description: str
    category: tuple[str, ...]
    pictures: tuple[str | None, ...]

    @classmethod
    def of_items(cls, items: Sequence[Item], no_picture: str) -> _Content:
        payload = items[0].payload
        return cls(
            payload["title"],
            payload["description"],
            tuple(payload["category"]),
            tuple(i.payload["image"] for i in items if picture_part(i.digest) != no_picture),
        )

    @classmethod
    def of_event(cls, event: ProductUpsert) -> _Content:
        pictures = tuple(picture_references(event))
        return cls(event.title, event.description, event.category, pictures)


def _filled(read: ReadEvent, known: _Known) -> CatalogEvent:
    """The event with what it keeps; raises ValueNotInRecord where nobody has it."""
    event, keeps = read.event, read.keeps
    if not keeps or isinstance(event, ProductDelete):
        return event
    if known.content is None:
        raise _not_there(read, f"there is no product {event.product_id!r} to take it from")
    kept: dict[str, Any] = {}
    if attributes := {name.partition(".")[2] for name in keeps if name.startswith(ATTRIBUTES)}:
        there = {name: one for name, one in known.attributes.items() if name in attributes}
        kept[ATTRIBUTES] = {**(event.attributes or {}), **there}
    for name in keeps & {"title", "description", "category"}:
        kept[name] = getattr(known.content, name)
    if isinstance(event, ProductUpsert) and keeps & PICTURES:
        kept["image"], kept["images"] = _pictures(read, event, known.content.pictures)
    return msgspec.structs.replace(event, **kept)


def _pictures(
    read: ReadEvent, event: ProductUpsert, known: tuple[str | None, ...]
) -> tuple[str | None, tuple[str, ...]]:
    """The main picture and others, of which some are as they are known."""
    references = tuple(one for one in known if one is not None)
    if len(references) < len(known):
        raise _not_there(read, f"pictures of {event.product_id!r} came inside their event")
    if read.keeps >= PICTURES:
        return None, references
    main, others = references[:1], references[1:]
    if "images" in read.keeps and main == (event.image,):
        return event.image, others
    if "image" in read.keeps and others == event.images:
        return next(iter(main), None), event.images
    raise _not_there(read, "which of the known pictures it stands for cannot be told")


def _not_there(read: ReadEvent, why: str) -> ValueNotInRecord:
    return ValueNotInRecord(
        f"the record leaves out {', '.join(sorted(read.keeps))}, large and not changed, and {why}: "
        "let the table log all columns (ALTER TABLE … REPLICA IDENTITY FULL), or have the "
        "connector read the row again"
    )
