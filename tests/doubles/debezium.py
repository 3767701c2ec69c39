"""A table of a shop, and its changes as Debezium writes them in each of its modes.

Shapes are those of Debezium's events for PostgreSQL (`tests/postgres/recorded`): the envelope with
and without its schema, the flattened row of ExtractNewRecordState with each way to write deletes,
and CloudEvents.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

UNAVAILABLE = "__debezium_unavailable_value"
NOT_NULL = {"name": "", "published": True}
"""What such columns are in a row of which only the key is logged: "", 0 or their default."""
Row = dict[str, Any]
Pair = tuple[bytes, bytes | None]


@dataclass(frozen=True)
class Mode:
    """How a connector is set up.

    `deletes` is for flattened rows: drop is left out, since nothing of it arrives.
    """

    name: str
    shape: str = "envelope"  # or flattened, cloudevents
    schema: bool = False
    full: bool = False  # REPLICA IDENTITY FULL
    decimals: str = "string"  # or precise, double
    deletes: str = "tombstone"  # or rewrite, rewrite-with-tombstone, delete-to-tombstone
    key: str = "object"  # or schema, quoted, plain

    @property
    def versioned(self) -> bool:
        """Whether changes and deletes say their place in the log."""
        return self.shape != "flattened" or self.deletes.startswith("rewrite")


MODES = (
    Mode("schema", schema=True, decimals="precise", key="schema"),
    Mode("plain envelope"),
    Mode("replica identity full", full=True, decimals="double"),
    Mode("flattened, tombstone", shape="flattened"),
    Mode("flattened, rewrite", shape="flattened", deletes="rewrite", key="quoted"),
    Mode("flattened, both", shape="flattened", deletes="rewrite-with-tombstone", schema=True,
         decimals="precise"),
    Mode("flattened, delete to tombstone", shape="flattened", deletes="delete-to-tombstone",
         key="plain"),
    Mode("cloudevents", shape="cloudevents"),
)  # fmt: skip


@dataclass
class Table:
    """The table `public.products`, keyed by `id`; `large` columns are stored out of line."""

    mode: Mode
    large: tuple[str, ...] = ("descr", "specs")
    rows: dict[int, Row] = field(default_factory=dict)
    lsn: int = 24_000_000

    def insert(self, row: Row) -> Iterator[Pair]:
        """A new row."""
        self.rows[row["id"]] = row
        yield self._event("c", None, row)

    def snapshot(self) -> Iterator[Pair]:
        """Every row, as a connector reads them when it starts."""
        for row in self.rows.values():
            yield self._event("r", None, row)

    def update(self, key: int, **changes: Any) -> Iterator[Pair]:
        """Changed columns; large ones that did not change are not logged."""
        old = self.rows[key]
        new = self.rows[key] = {**old, **changes}
        logged = dict(new)
        if not self.mode.full:
            same = [name for name in self.large if new[name] == old[name] and new[name]]
            logged |= dict.fromkeys(same, UNAVAILABLE)
        yield self._event("u", old if self.mode.full else None, logged)

    def delete(self, key: int) -> Iterator[Pair]:
        """A row that goes."""
        old = self.rows.pop(key)
        before = old if self.mode.full else {**dict.fromkeys(old), **NOT_NULL, "id": key}
        written = self.mode.deletes
        flattened = self.mode.shape == "flattened"
        if not flattened or written.startswith("rewrite"):
            yield self._event("d", before, None)
        if not flattened or written != "rewrite":
            yield self._key(key), None

    def move(self, key: int, to: int) -> Iterator[Pair]:
        """A changed key, and large columns with it: a delete, and a create of what is whole."""
        row = {**self.rows[key], "id": to}
        yield from self.delete(key)
        yield from self.insert(row)

    def _event(self, op: str, before: Row | None, after: Row | None) -> Pair:
        self.lsn += 56
        row = after or before or {}
        before, after = (None if one is None else self._columns(one) for one in (before, after))
        source = {"version": "3.0", "connector": "postgresql", "name": "shop", "db": "shop",
                  "schema": "public", "table": "products", "lsn": self.lsn, "txId": 7,
                  "ts_ms": 1_700_000_000_000, "snapshot": "false"}  # fmt: skip
        if self.mode.shape == "flattened":
            value = {**(after or before or {}), "__op": op, "__lsn": self.lsn}
            if self.mode.deletes.startswith("rewrite"):
                value["__deleted"] = "true" if op == "d" else "false"
            schema: Any = self._schema()
        elif self.mode.shape == "cloudevents":
            value = {"specversion": "1.0", "id": f"name:shop;lsn:{self.lsn}",
                     "source": "/debezium/postgresql/shop",
                     "type": "io.debezium.connector.postgresql.DataChangeEvent",
                     "time": "2026-05-01T12:00:00.000Z", "datacontenttype": "application/json",
                     "iodebeziumop": op, "iodebeziumlsn": str(self.lsn),
                     "data": {"before": before, "after": after}}  # fmt: skip
            schema = None
        else:
            value = {"before": before, "after": after, "source": source, "op": op,
                     "ts_ms": 1_700_000_000_500, "transaction": None}  # fmt: skip
            rows = [{**self._schema(), "field": name} for name in ("before", "after")]
            schema = {"type": "struct", "fields": rows}
        if self.mode.schema:
            value = {"schema": schema, "payload": value}
        return self._key(row["id"]), orjson.dumps(value)

    def _columns(self, row: Row) -> Row:
        return {**row, "price": self._decimal(row["price"])}

    def _decimal(self, price: Decimal | None) -> Any:
        if price is None:
            return None
        if self.mode.decimals == "precise":
            unscaled = int(price.scaleb(2))
            width = unscaled.bit_length() // 8 + 1
            return base64.b64encode(unscaled.to_bytes(width, "big", signed=True)).decode()
        return str(price) if self.mode.decimals == "string" else float(price)

    def _schema(self) -> Row:
        """The schema of a row: only the decimal needs it."""
        price = {
            "type": "bytes",
            "name": "org.apache.kafka.connect.data.Decimal",
            "parameters": {"scale": "2", "connect.decimal.precision": "10"},
            "field": "price",
        }
        return {"type": "struct", "fields": [{"type": "int32", "field": "id"}, price]}

    def _key(self, key: int) -> bytes:
        match self.mode.key:
            case "schema":
                schema = {"type": "struct", "fields": [{"type": "int32", "field": "id"}]}
                return orjson.dumps({"schema": schema, "payload": {"id": key}})
            case "quoted":
                return orjson.dumps(str(key))
            case "plain":
                return str(key).encode()
        return orjson.dumps({"id": key})
