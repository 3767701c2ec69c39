"""What the index must hold in the end, said as simply as possible: the newest word on each thing.

Written without a look at `workers.ingest.last_write_wins`, which it judges. It reads the log
itself, partition by
partition: a product's events are all in one.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from benchmarks.shop.colours import ColourEncoder, pixels
from benchmarks.shop.events import PICTURES
from index.item import Item
from models.catalog.folder import product_text
from stream.records import Record

COLOUR_OF = {uri: colour for colour, uri in PICTURES.items()}
CONTENT = "content"
OFFER = ("price", "currency", "in_stock", "attributes")


@dataclass(frozen=True)
class Verdict:
    """How an index differs from the model, in items."""

    lost: int
    """Not there and should be."""
    stale: int
    """There as they were before, or there and should not be."""
    visible_duplicates: int
    """There more than once."""
    examples: tuple[str, ...] = ()


@dataclass
class Model:
    """The newest word on each thing of each product: its version, and what it says."""

    words: dict[str, dict[str, tuple[int, Any]]] = field(default_factory=dict)

    def hear(self, record: Record) -> None:
        """Take in the next good record of its partition."""
        event: dict[str, Any] = orjson.loads(record.value) if record.value else {"type": "delete"}
        product = event.get("product_id") or (record.key or b"").decode()
        version = event.get("version", event.get("event_time", record.timestamp_ms))
        said: dict[str, Any] = {name: event[name] for name in OFFER if name in event}
        if event["type"] == "upsert":
            said[CONTENT] = event
        elif event["type"] == "delete":
            said = dict.fromkeys((CONTENT, *OFFER))
        known = self.words.setdefault(product, {})
        for thing, value in said.items():
            if thing not in known or version >= known[thing][0]:
                known[thing] = (version, value)

    def items(self) -> dict[str, tuple[dict[str, Any], dict[str, Any], Any]]:
        """(words, offer, vector) of every item that can be found, by item id."""
        found: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {}
        encoder = ColourEncoder()
        for product, known in self.words.items():
            event = known.get(CONTENT, (0, None))[1]
            if event is None:
                continue
            offer = {n: known[n][1] for n in OFFER if n in known and known[n][1] is not None}
            pictures = [*([event["image"]] if "image" in event else []), *event.get("images", [])]
            text = product_text(event["title"], "")
            for number, picture in enumerate(pictures or [None]):
                seen = pixels(COLOUR_OF[picture]) if picture else None
                vector = encoder.encode_items([seen], [text])[0].vector
                words = {"title": event["title"], "category": event["category"]}
                found[f"{product}#{number}"] = (words, offer, vector)
        return found

    def judge(self, rows: Iterable[Item]) -> Verdict:
        """Compare item by item; `rows` are all rows that a search could find, with vectors."""
        expected = self.items()
        times: Counter[str] = Counter()
        stale: dict[str, str] = {}
        for row in rows:
            times[row.item_id] += 1
            if row.item_id not in expected:
                stale[row.item_id] = f"{row.item_id} should be gone"
                continue
            words, offer, vector = expected[row.item_id]
            there = {name: row.payload[name] for name in words}
            if (there, row.offer) != (words, offer):
                stale[row.item_id] = (
                    f"{row.item_id} is {there} {row.offer} and should be {words} {offer}"
                )
            elif row.vector is None or not np.allclose(row.vector, vector, atol=1e-4):
                stale[row.item_id] = f"{row.item_id} has the vector of another picture"
        lost = [f"{item} is not there" for item in expected if item not in times]
        twice = [f"{item} is there {n} times" for item, n in times.items() if n > 1]
        return Verdict(
            lost=len(lost),
            stale=len(stale),
            visible_duplicates=sum(n - 1 for n in times.values()),
            examples=(*lost[:5], *list(stale.values())[:5], *twice[:5]),
        )
