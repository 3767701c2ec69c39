"""A catalog folder becomes catalog events.

A row that is no JSON object is refused with its line, and the others are sent. Nothing else is
checked here: a row with a wrong field or a missing picture is sent as it is, and ends in the
dead-letter topic with a reason, like the mistakes of any other producer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from models.catalog.folder import PRODUCTS, local_path, raw_products
from models.errors import CatalogError
from stream.data_uri import INLINE_BYTES, data_uri
from stream.publisher import Publisher

SHOWN_REFUSALS = 100


@dataclass(frozen=True)
class RefusedRow:
    """A row that was not sent: its line in products.jsonl, and what is wrong with it."""

    line: int
    reason: str


OnRefused = Callable[[RefusedRow], None]


@dataclass
class Produced:
    """What became of a folder's rows: each was sent or refused."""

    sent: int = 0
    refused: int = 0
    refusals: list[RefusedRow] = field(default_factory=list)
    """The first hundred."""

    def refuse(self, row: RefusedRow) -> None:
        """Take note of a refused row."""
        self.refused += 1
        if len(self.refusals) < SHOWN_REFUSALS:
            self.refusals.append(row)

    def json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "sent": self.sent,
            "refused": self.refused,
            "refusals": [asdict(row) for row in self.refusals],
        }


def catalog_events(
    folder: Path, *, inline: bool = True, on_refused: OnRefused | None = None
) -> Iterator[tuple[str | None, bytes]]:
    """(key, value) of one upsert per row of products.jsonl.

    A local picture of up to 11 MB travels inside the event as a `data:` URI, so that the ingest
    worker needs no access to this folder; a larger one, or any with `inline=False`, as its path.
    `on_refused` gets the rows that cannot be sent; without it the first is an error.

    Raises:
        CatalogError: there is no products.jsonl, or a row is refused.
    """
    for row in raw_products(folder):
        if not row.problem:
            yield _event(folder, row.fields, inline)
        elif on_refused:
            on_refused(RefusedRow(row.line, row.problem))
        else:
            raise CatalogError(f"{folder / PRODUCTS}:{row.line}: {row.problem}")


def produce_catalog(
    folder: Path,
    publisher: Publisher,
    topic: str,
    *,
    inline: bool = True,
    on_sent: Callable[[int], None] = lambda _count: None,
) -> Produced:
    """Send the catalog and wait until the broker has all of it; rows that cannot be sent are noted.

    Raises:
        CatalogError: there is no products.jsonl.
    """
    report = Produced()
    for key, value in catalog_events(folder, inline=inline, on_refused=report.refuse):
        publisher.publish(topic, key, value)
        report.sent += 1
        on_sent(report.sent)
    publisher.flush()
    return report


def picture_reference(folder: Path, reference: str, *, inline: int = INLINE_BYTES) -> str:
    """A reference that another process can use: URLs as they are, a file as its absolute path.

    A file of at most `inline` bytes becomes a `data:` URI.
    """
    path = local_path(folder, reference)
    if path is None:
        return reference
    if path.is_file() and path.stat().st_size <= inline:
        return data_uri(path)
    return str(path)


def _event(folder: Path, row: dict[str, object], inline: bool) -> tuple[str | None, bytes]:
    fields = {"type": "upsert", "event_time": time.time_ns() // 1_000_000, **row}
    pictures = [fields.get("image"), *_as_list(fields.get("images"))]
    # All pictures of the event together have to fit into one message.
    share = INLINE_BYTES // len(pictures) if inline else 0
    first, *others = [
        picture_reference(folder, picture, inline=share) if isinstance(picture, str) else picture
        for picture in pictures
    ]
    if "image" in fields:
        fields["image"] = first
    if others:
        fields["images"] = others
    key = fields.get("product_id")
    return (key if isinstance(key, str) else None), orjson.dumps(fields)


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
