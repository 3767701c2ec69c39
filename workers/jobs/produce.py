"""A catalog folder becomes catalog events.

Nothing is checked here: a row with a wrong field or a missing picture is sent as it is, and ends in
the dead-letter topic with a reason, like the mistakes of any other producer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from models.catalog.folder import RawRow, locate, raw_products
from stream.data_uri import INLINE_BYTES, data_uri
from stream.publisher import Publisher


def catalog_events(folder: Path, *, inline: bool = True) -> Iterator[tuple[str | None, bytes]]:
    """(key, value) of one upsert per row of products.jsonl.

    A local picture of up to 11 MB travels inside the event as a `data:` URI, so that the ingest
    worker needs no access to this folder; a larger one, or any with `inline=False`, as its path.

    Raises:
        CatalogError: there is no products.jsonl.
    """
    for row in raw_products(folder):
        yield _event(folder, row, inline)


def produce_catalog(
    folder: Path,
    publisher: Publisher,
    topic: str,
    *,
    inline: bool = True,
    on_sent: Callable[[int], None] = lambda _count: None,
) -> int:
    """Send the catalog and wait until the broker has all of it; the number of events sent."""
    sent = 0
    for sent, (key, value) in enumerate(catalog_events(folder, inline=inline), start=1):
        publisher.publish(topic, key, value)
        on_sent(sent)
    publisher.flush()
    return sent


def picture_reference(folder: Path, reference: str, *, inline: int = INLINE_BYTES) -> str:
    """A reference that another process can use: URLs as they are, a file as its absolute path.

    A file of at most `inline` bytes becomes a `data:` URI.
    """
    located = locate(folder, reference)
    path = Path(located)
    if located.startswith(("http://", "https://", "data:")) or not path.is_file():
        return located
    return located if path.stat().st_size > inline else data_uri(path)


def _event(folder: Path, row: RawRow, inline: bool) -> tuple[str | None, bytes]:
    if row.fields is None:
        return None, row.text
    fields = {"type": "upsert", "event_time": time.time_ns() // 1_000_000, **row.fields}
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
