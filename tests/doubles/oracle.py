"""A test oracle for ingest: the items that the index must hold after a log of catalog events.

Written independently of `workers.ingest.last_write_wins`, which it checks. A product's events are
all in one partition, so the log is read partition by partition.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from index.item import Item
from models.catalog.folder import product_text
from stream.records import Record
from tests.doubles.colours import PICTURES, ColourEncoder, pixels

COLOUR_OF = {uri: colour for colour, uri in PICTURES.items()}
CONTENT = "content"
OFFER = ("price", "currency", "in_stock", "attributes")


@dataclass(frozen=True)
class Difference:
    """How an index differs from what it must hold, in items."""

    lost: int
    """Missing."""
    stale: int
    """In an earlier state, or deleted and still there."""
    visible_duplicates: int
    """Found more than once."""
    examples: tuple[str, ...] = ()


@dataclass
class Field:
    """One field of a product: the clocks of all writes to it, and the write that stands."""

    clocks: list[tuple[int | None, int]] = field(default_factory=list)
    """(version, time) of each, in their order in the log."""
    version: int | None = None
    time: int = -1
    value: Any = None

    def write(self, version: int | None, time: int, value: Any) -> None:
        """Take the next write in the log; the value changes if it stands."""
        versions = [v for v, _ in self.clocks if v is not None]
        times = [t for v, t in self.clocks if v is None]
        if not self.clocks:
            stands = True
        elif version is not None:
            if self.version is None:
                stands = version > max(versions, default=-1) and time >= self.time
            else:
                stands = (version, time) >= (self.version, self.time)
        elif self.version is None:
            stands = time >= self.time
        else:
            stands = time >= self.time and time > max(times, default=-1)
        self.clocks.append((version, time))
        if stands:
            self.version, self.time, self.value = version, time, value


@dataclass
class IndexOracle:
    """Last write wins for each field of each product: `fields[product][field]`.

    An offer has four fields of their own, which patches change; everything else is one field.
    """

    fields: dict[str, dict[str, Field]] = field(default_factory=dict)

    def apply(self, record: Record) -> None:
        """Apply the next valid record of its partition."""
        event: dict[str, Any] = orjson.loads(record.value) if record.value else {"type": "delete"}
        product = event.get("product_id") or (record.key or b"").decode()
        time = event.get("event_time", record.timestamp_ms)
        written: dict[str, Any] = {name: event[name] for name in OFFER if name in event}
        if event["type"] == "upsert":
            written[CONTENT] = event
        elif event["type"] == "delete":
            written = dict.fromkeys((CONTENT, *OFFER))
        known = self.fields.setdefault(product, {})
        for name, value in written.items():
            known.setdefault(name, Field()).write(event.get("version"), time, value)

    def items(self) -> dict[str, tuple[dict[str, Any], dict[str, Any], Any]]:
        """(title and category, offer, vector) of every item that can be found, by item id."""
        found: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {}
        encoder = ColourEncoder()
        for product, known in self.fields.items():
            event = known.get(CONTENT, Field()).value
            if event is None:
                continue
            offer = {n: known[n].value for n in OFFER if n in known and known[n].value is not None}
            pictures = [*([event["image"]] if "image" in event else []), *event.get("images", [])]
            text = product_text(event["title"], "")
            # What is no picture is missing; a product without any is found by its words.
            numbered = [
                (n, one) for n, one in enumerate(dict.fromkeys(pictures)) if one in COLOUR_OF
            ]
            for number, picture in numbered or [(0, None)]:
                shown = pixels(COLOUR_OF[picture]) if picture else None
                vector = encoder.encode_items([shown], [text])[0].vector
                payload = {"title": event["title"], "category": event["category"]}
                found[f"{product}#{number}"] = (payload, offer, vector)
        return found

    def compare(self, rows: Iterable[Item]) -> Difference:
        """Compare item by item; `rows` are all rows that a search could find, with vectors."""
        expected = self.items()
        times: Counter[str] = Counter()
        stale: dict[str, str] = {}
        for row in rows:
            times[row.item_id] += 1
            if row.item_id not in expected:
                stale[row.item_id] = f"{row.item_id} should be gone"
                continue
            payload, offer, vector = expected[row.item_id]
            actual = {name: row.payload[name] for name in payload}
            if (actual, row.offer) != (payload, offer):
                stale[row.item_id] = (
                    f"{row.item_id} is {actual} {row.offer} and should be {payload} {offer}"
                )
            elif row.vector is None or not np.allclose(row.vector, vector, atol=1e-4):
                stale[row.item_id] = f"{row.item_id} has the vector of another picture"
        lost = [f"{item} is missing" for item in expected if item not in times]
        twice = [f"{item} is there {n} times" for item, n in times.items() if n > 1]
        return Difference(
            lost=len(lost),
            stale=len(stale),
            visible_duplicates=sum(n - 1 for n in times.values()),
            examples=(*lost[:5], *list(stale.values())[:5], *twice[:5]),
        )
