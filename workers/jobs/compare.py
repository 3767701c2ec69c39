"""Comparing two generations of a catalog: what is in them, and what searches find in them.

Rows are read once each, without their vectors: an item's digest stands for them, as long as one
model made both. Vectors of two models are never compared; then only what a shop wrote is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from index.item import PROVENANCE, Item, canonical_json
from index.milvus.collection import Collection
from index.search.probe import probe
from index.vectors import stack
from workers.evidence.predicted_attributes import SUGGESTED

EXAMPLES = 5
"""Item ids that a report names for each kind of difference."""
QUERIES = 100
TOP = 10
TIE = 1e-5
"""Cosines this close are equal: which of them is the tenth is left to chance."""
CAPTION = "caption"
"""A part of a payload that a model wrote, as what is `SUGGESTED`."""


@dataclass
class Difference:
    """Items that differ in one way: how many, and the first few ids."""

    items: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, item_id: str) -> None:
        """Count one more."""
        self.items += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(item_id)


@dataclass
class Comparison:
    """What differs between a live catalog and a candidate to replace it.

    Attributes:
        live_items: how many can be found in the live one; tombstones are left out everywhere.
        candidate_items: how many in the other.
        same_model: whether one model made the vectors of both.
        missing: items of the live catalog that the candidate has not.
        added: items of the candidate that the live catalog has not.
        changed: items in both with other content.
        queries: how many items of both were searched for in both.
        overlap: share of the best ten in common, 0..1, on average; None if none was searched for.
            An item as near as the tenth of the live catalog is in common with it.
    """

    live_items: int = 0
    candidate_items: int = 0
    same_model: bool = True
    missing: Difference = field(default_factory=Difference)
    added: Difference = field(default_factory=Difference)
    changed: Difference = field(default_factory=Difference)
    queries: int = 0
    overlap: float | None = None

    def json(self) -> dict[str, Any]:
        """The report for machines."""
        return asdict(self)


def compare(
    live: Collection,
    candidate: Collection,
    *,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda items: None,
) -> Comparison:
    """Compare a candidate with the live catalog.

    Args:
        live: what is searched now.
        candidate: what may take its place.
        seed: of the items that are searched for.
        on_progress: called with the number of items read so far, of both.

    Raises:
        SearchIndexError: Milvus does not answer, or one of the two was replaced meanwhile.
    """
    found = Comparison(same_model=live.bank.model_id == candidate.bank.model_id)
    contents: dict[str, bytes] = {}
    for item in _items(live):
        contents[item.item_id] = _content(item, found.same_model)
        on_progress(len(contents))
    found.live_items = len(contents)
    alike: list[tuple[str, str]] = []
    for item in _items(candidate):
        found.candidate_items += 1
        on_progress(found.live_items + found.candidate_items)
        content = contents.pop(item.item_id, None)
        if content is None:
            found.added.add(item.item_id)
        elif content == _content(item, found.same_model):
            alike.append((item.item_id, item.product_id))
        else:
            found.changed.add(item.item_id)
    for item_id in sorted(contents):
        found.missing.add(item_id)
    if found.same_model and alike:
        found.queries, found.overlap = _overlap(live, candidate, alike, seed)
    return found


def _items(collection: Collection) -> Iterator[Item]:
    for page in collection.scan():
        yield from page


def _content(item: Item, same_model: bool) -> bytes:
    """Hash of what should be the same in both: 32 bytes."""
    left_out = {PROVENANCE} if same_model else {PROVENANCE, CAPTION, SUGGESTED}
    payload = {name: value for name, value in item.payload.items() if name not in left_out}
    parts = (
        item.product_id.encode(),
        canonical_json(payload, "payload"),
        canonical_json(item.offer, "offer"),
        item.digest.encode() if same_model else b"",
    )
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _overlap(
    live: Collection, candidate: Collection, alike: list[tuple[str, str]], seed: int
) -> tuple[int, float]:
    """Search for some items in both; how many, and the mean share of the best ten in common."""
    chosen = np.random.default_rng(seed).permutation(len(alike))[:QUERIES]
    wanted = {alike[at][0] for at in chosen}
    products = sorted({alike[at][1] for at in chosen})
    items = [item for item in live.get(products, vectors=True) if item.item_id in wanted]
    vectors = stack(items)
    shares = []
    for expected, found in zip(
        probe(live, live.bank, vectors, TOP),
        probe(candidate, candidate.bank, vectors, TOP),
        strict=True,
    ):
        ids = {hit.item.item_id for hit in expected}
        last = expected[-1].similarity - TIE
        common = sum(hit.item.item_id in ids or hit.similarity >= last for hit in found)
        shares.append(common / max(len(expected), len(found)))
    return len(shares), float(np.mean(shares))
