"""The catalog events of a shop, from a seed: every kind, duplicates, late ones, and poison.

Each product has a clock. *version*: the producer counts. *event_time*: events carry their time.
*log*: they carry nothing, and the record's own timestamp decides. A late event has a version that
is older than what was sent before.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.doubles.colours import COLOURS, PICTURES

CLOCKS = ("version", "event_time", "log")
EVENTS_PER_PRODUCT = 12
POISON_SHARE = 0.01
# The first record's timestamp (ms since the epoch); three events share each millisecond.
FIRST_MS = 1_700_000_000_000
EVENTS_PER_MS = 3


@dataclass(frozen=True)
class ShopEvent:
    """One record for the catalog topic; `poison` must end in the dead-letter topic."""

    key: str | None
    value: bytes | None
    timestamp_ms: int
    poison: bool = False


@dataclass
class _Product:
    product_id: str
    clock: str
    sent: list[dict[str, Any]] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)


def make_events(count: int, seed: int = 0) -> Iterator[ShopEvent]:
    """Yield `count` records, 1 % of them poison."""
    rng = random.Random(seed)
    products = [
        _Product(f"p-{number:05}" if number % 7 else f"ø {number} ✓", CLOCKS[number % 3])
        for number in range(max(3, count // EVENTS_PER_PRODUCT))
    ]
    poison = set(rng.sample(range(count), round(count * POISON_SHARE)))
    for number in range(count):
        now = FIRST_MS + number // EVENTS_PER_MS
        if number in poison:
            yield _poison(rng, number, now, rng.choice(products))
        else:
            yield _event(rng, now, rng.choice(products))


def _event(rng: random.Random, now: int, product: _Product) -> ShopEvent:
    key = product.product_id
    if product.sent and rng.random() < 0.12:  # a duplicate
        return ShopEvent(key, orjson.dumps(rng.choice(product.sent)), now)
    if product.sent and product.clock != "version" and rng.random() < 0.04:
        return ShopEvent(key, None, now)
    event = _body(rng, first=not product.sent) | {"product_id": key} | _time(rng, now, product)
    product.sent.append(event)
    return ShopEvent(key, orjson.dumps(event), now)


def _time(rng: random.Random, now: int, product: _Product) -> dict[str, int]:
    """The event's version by the product's clock; one in five is late."""
    if product.clock == "log":
        return {}
    newest = max(product.versions, default=None)
    if product.clock == "version":
        version = 1 if newest is None else newest + rng.randrange(1, 4)
    else:
        version = now
    if newest is not None and rng.random() < 0.2:
        version = max(0, newest - rng.randrange(1, 12))
    product.versions.add(version)
    return {product.clock: version}


def _body(rng: random.Random, first: bool) -> dict[str, Any]:
    kind = "upsert" if first else rng.choices(("upsert", "patch", "delete"), (45, 45, 10))[0]
    if kind == "delete":
        return {"type": "delete"}
    offers: dict[str, Any] = {
        "price": rng.choice([None, 1.0, 2.5, 9.99]),
        "currency": rng.choice(["EUR", "SEK"]),
        "in_stock": rng.choice([True, False]),
        "attributes": rng.choice([None, {"size": rng.randrange(40)}, {}]),
    }
    chosen = rng.sample(
        sorted(offers), rng.randrange(1, 5) if kind == "patch" else rng.randrange(3)
    )
    offer = {name: offers[name] for name in chosen}
    if kind == "patch":
        return {"type": "patch", **offer}
    pictures = [PICTURES[colour] for colour in rng.sample(COLOURS, rng.choice([0, 1, 1, 1, 2, 3]))]
    text = {"title": f"thing {rng.randrange(50)}", "category": ["things"]}
    images = {"image": pictures[0], "images": pictures[1:]} if pictures else {}
    return {"type": "upsert", **text, **images, **offer}


def _poison(rng: random.Random, number: int, now: int, product: _Product) -> ShopEvent:
    """A record that can never be applied, with the key of a valid product."""
    good: dict[str, Any] = {"type": "upsert", "product_id": product.product_id, "title": "poison"}
    values: list[Any] = [
        b"this is no JSON",
        b"",
        b'{"type": "upsert", "product_id": ',
        {**good, "price": "1.299"},
        {**good, "title": ["poison"]},
        {**good, "type": "upset"},
        {**good, "price": -1},
        {**good, "product_id": ""},
        {**good, "product_id": "two\nlines"},
        {**good, "version": 2**63},
        # No words, so that nothing of it can be applied without its picture.
        {**good, "title": "", "image": "data:image/png;base64,iVBORw0KGgo="},
        {**good, "title": "", "image": "file:///nowhere/picture.png"},
        {**good, "title": "", "image": "http://169.254.169.254/latest/meta-data"},
        # Refused by the index only, in the middle of a batch.
        {**good, "attributes": {"text": "long" * 20_000}},
        {"type": "patch", "product_id": product.product_id},
        {"type": "patch", "product_id": f"never-seen-{number}", "price": 1},
    ]
    value = values[rng.randrange(len(values))]
    data = value if isinstance(value, bytes) else orjson.dumps(value)
    return ShopEvent(product.product_id, data, now, poison=True)
