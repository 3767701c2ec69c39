"""A shop in PostgreSQL, its changes, and the connectors that tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

LARGE = "Made of oats and water, without sugar. " * 65
"""A text that is stored out of line, and logged only when it changes."""
MOVED = 9
"""The new key of a row with a large text that did not change with it."""
TABLES = """
CREATE TABLE products (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    path text,
    price numeric(10, 2),
    stock integer NOT NULL DEFAULT 0,
    image text,
    details text,
    attributes jsonb,
    published boolean NOT NULL DEFAULT true,
    deleted_at timestamptz
);
ALTER TABLE products ALTER COLUMN details SET STORAGE EXTERNAL;
CREATE TABLE outbox (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    aggregatetype text NOT NULL,
    aggregateid text NOT NULL,
    type text NOT NULL,
    payload jsonb
);
"""
CATALOG: dict[str, Any] = {
    "map": {
        "product_id": "id",
        "title": "name",
        "description": "details",
        "category": "split(path, '>')",
        "image": "image",
        "price": "price",
        "currency": "'EUR'",
        "in_stock": "stock > 0",
        "attributes": {"color": "attributes.color", "sizes": "attributes.sizes"},
    },
    "when": {"filter": "published", "deleted": "deleted_at is not null"},
}
"""The settings `[catalog]` for the table, without its topic and format."""

_JSON = "org.apache.kafka.connect.json.JsonConverter"
_SCHEMAS = {
    "key.converter": _JSON,
    "key.converter.schemas.enable": "true",
    "value.converter": _JSON,
    "value.converter.schemas.enable": "true",
}


def _unwrapped(deletes: str, **given: str) -> dict[str, str]:
    return {
        "transforms": "unwrap",
        "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
        "transforms.unwrap.delete.tombstone.handling.mode": deletes,
        "decimal.handling.mode": "string",
        **{f"transforms.unwrap.{name}": value for name, value in given.items()},
    }


_FIELDS = {"add.fields": "op,lsn"}


@dataclass(frozen=True)
class Mode:
    """A way to set up the connector, and the format that the settings give for it."""

    name: str
    format: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def versioned(self) -> bool:
        """Whether changes and deletes say their place in the log."""
        return self.name not in ("tombstone", "drop", "outbox")

    @property
    def truncates(self) -> bool:
        """Whether a truncated table is told: not in rows, nor of an outbox."""
        return self.format in ("debezium", "cloudevents")

    @property
    def prefix(self) -> str:
        """The connector's name, and the prefix of its topics."""
        return f"shop-{self.name}"

    @property
    def topic(self) -> str:
        """Where its changes of products go."""
        return "shop-outbox.products" if self.name == "outbox" else f"{self.prefix}.public.products"


MODES = (
    Mode("precise", "debezium", _SCHEMAS),
    Mode("string", "debezium", {"decimal.handling.mode": "string"}),
    Mode(
        "double", "debezium", {"decimal.handling.mode": "double", "tombstones.on.delete": "false"}
    ),
    Mode("tombstone", "unwrapped", _unwrapped("tombstone", **_FIELDS)),
    Mode("rewrite", "unwrapped", _unwrapped("rewrite", **_FIELDS)),
    Mode("both", "unwrapped", _unwrapped("rewrite-with-tombstone", **_FIELDS) | _SCHEMAS),
    Mode("headers", "unwrapped", _unwrapped("delete-to-tombstone", **{"add.headers": "op,lsn"})),
    Mode("drop", "unwrapped", _unwrapped("drop", **_FIELDS)),
    Mode(
        "cloudevents",
        "cloudevents",
        {
            "value.converter": "io.debezium.converters.CloudEventsConverter",
            "value.converter.serializer.type": "json",
            "value.converter.data.serializer.type": "json",
            "decimal.handling.mode": "string",
        },
    ),
    Mode(
        "outbox",
        "outbox",
        {
            "table.include.list": "public.outbox",
            "transforms": "outbox",
            "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
            "transforms.outbox.route.topic.replacement": "shop-outbox.${routedByValue}",
            "transforms.outbox.table.expand.json.payload": "true",
            "transforms.outbox.table.fields.additional.placement": "type:header:eventType",
        },
    ),
)

_INSERT = (
    "INSERT INTO products VALUES (%(id)s, %(name)s, %(path)s, %(price)s, %(stock)s, %(image)s, "
    "%(details)s, %(attributes)s)"
)
_COLORS = '{"color": "red", "sizes": ["S", "M"]}'


def insert(connection: psycopg.Connection[Any], number: int, **columns: Any) -> None:
    """A product."""
    row = {
        "id": number,
        "name": f"Oat milk {number}",
        "path": "Food>Milk",
        "price": "2.50",
        "stock": 3,
        "image": None,
        "details": LARGE,
        "attributes": _COLORS,
    }
    connection.execute(_INSERT, row | columns)


def before_the_snapshot(connection: psycopg.Connection[Any]) -> None:
    """Two rows that a connector finds when it starts."""
    connection.execute(TABLES)
    insert(connection, 1)
    insert(connection, 2, price=None, attributes=None)


def changes(connection: psycopg.Connection[Any]) -> None:
    """One change of each kind, and the same again for an outbox."""

    def run(statement: str) -> None:
        connection.execute(statement.encode())

    insert(connection, 3, details="short")
    run("UPDATE products SET price = 3.75 WHERE id = 1")  # `details` is not in the log
    run("UPDATE products SET name = 'Soy milk', stock = 0, details = 'new' WHERE id = 2")
    run("UPDATE products SET id = 4 WHERE id = 3")
    with connection.transaction():
        run("UPDATE products SET price = -0.01 WHERE id = 4")
        run("UPDATE products SET price = 1234567.89 WHERE id = 4")
    insert(connection, 5)
    run("DELETE FROM products WHERE id = 5")
    insert(connection, 5, name="Again")
    run("UPDATE products SET published = false WHERE id = 2")
    insert(connection, 6)
    run("UPDATE products SET deleted_at = '2026-05-01T12:00:00Z' WHERE id = 6")
    insert(connection, 7)
    run("DELETE FROM products WHERE id = 7")
    insert(connection, 8)
    run(f"UPDATE products SET id = {MOVED} WHERE id = 8")
    for number in (1, 4, 5):
        run(
            "INSERT INTO outbox (aggregatetype, aggregateid, type, payload) SELECT 'products', id, "
            f"'ProductSaved', to_jsonb(products) FROM products WHERE id = {number}"
        )
    run(
        "INSERT INTO outbox (aggregatetype, aggregateid, type, payload) VALUES "
        "('products', '5', 'ProductRemoved', '{\"id\": 5}')"
    )
    run("DELETE FROM outbox")


def _product(name: str, details: str, price: float) -> dict[str, Any]:
    return {
        "title": name,
        "description": details,
        "category": ["Food", "Milk"],
        "price": price,
        "currency": "EUR",
        "in_stock": True,
        "attributes": {"color": "red", "sizes": "S, M"},
    }


AFTERWARDS = {
    "1": _product("Oat milk 1", LARGE, 3.75),
    "4": _product("Oat milk 3", "short", 1234567.89),
    "5": _product("Again", LARGE, 2.5),
    str(MOVED): _product("Oat milk 8", LARGE, 2.5),
}
"""What shoppers are to find after `changes`."""
NOT_DELETED = {
    "3": _product("Oat milk 3", "short", 2.5),
    "7": _product("Oat milk 7", LARGE, 2.5),
    "8": _product("Oat milk 8", LARGE, 2.5),
}
"""What is left besides where deletes are dropped."""
