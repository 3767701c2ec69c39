"""Debezium's change events: envelopes, flattened rows, and those of its outbox router.

An envelope is {before, after, source, op, …}; `op` is c(reate), u(pdate), d(elete), r(ead, of a
snapshot), t(runcate) or m(essage). What orders the changes of a row is the log sequence number
`source.lsn` of PostgreSQL: `ts_ms` says when something was read, and two changes may share it. The
rows of a snapshot have no place in that order: a change that was not committed when they were read
has a smaller number, and is newer. So they are ordered by when they were sent.

A flattened row (the transform ExtractNewRecordState) is the row alone, with `__op` and `__lsn`
where the transform was told to add them, to the row or to its headers, and `__deleted` if deletes
are rewritten to rows. Its number counts only if deletes have one too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from models.catalog.json_object import printable
from models.catalog.sources.connect_json import decoded, whole
from models.catalog.sources.evaluate import UNAVAILABLE
from models.catalog.sources.row_change import RowChange
from models.errors import CatalogError

CHANGES = ("c", "u", "r")
OPS = (*CHANGES, "d", "t", "m")

TRUNCATED = (
    "the table was truncated, and a record of one partition cannot delete what is in all of them: "
    "to delete the products, send a file of those that are left with `lookstream produce FILE "
    "--complete`; to leave truncates out, set the connector's skipped.operations to t"
)


def is_envelope(value: Mapping[str, Any]) -> bool:
    """Whether an object is an envelope, and not the row of a table with a column `op`."""
    return value.get("op") in OPS and isinstance(value.get("source"), Mapping)


def is_flattened(value: Mapping[str, Any]) -> bool:
    """Whether an object has one of the fields that the transform adds."""
    return any(name in value for name in ("__op", "__deleted", "__lsn", "__source_lsn"))


def read_envelope(value: Mapping[str, Any], key: Any) -> RowChange | None:
    """The change of an envelope; None of a message, which is of no row.

    Raises:
        CatalogError: it is a truncate, or lacks what its `op` asks for.
    """
    op = value.get("op")
    if op not in OPS:
        raise CatalogError(
            f"field `op` is {printable(str(op), 20)!r}; Debezium has {', '.join(OPS)}: is "
            "catalog.source.format the right one?"
        )
    if op == "m":
        return None
    if op == "t":
        raise CatalogError(TRUNCATED)
    source = _object(value, "source")
    before = _object(value, "before")
    around = {name: value.get(name) for name in ("source", "before", "after", "op", "ts_ms")} | {
        "key": key
    }
    version = None if op == "r" else whole(source.get("lsn"))
    if op == "d":
        return deleted_row(before, key, around, version)
    if not (after := _object(value, "after")):
        raise CatalogError(f"field `after` is missing in an event of op {op!r}")
    row = {
        name: before.get(name, one) if one is UNAVAILABLE else one for name, one in after.items()
    }
    return RowChange(row=row, before=before, around=around, version=version, closed=True)


def read_flattened(
    value: Mapping[str, Any], key: Any, headers: Mapping[str, str]
) -> RowChange | None:
    """The change of a flattened row.

    Raises:
        CatalogError: it is a truncate.
    """
    op = value.get("__op", headers.get("__op"))
    if op == "m":
        return None
    if op == "t":
        raise CatalogError(TRUNCATED)
    version = header_version(headers)
    if version is None and "__deleted" in value:
        version = whole(value.get("__lsn", value.get("__source_lsn")))
    around = {"key": key, "header": headers}
    gone = str(value.get("__deleted", "")).lower() == "true" or op == "d"
    if gone:
        return deleted_row(value, key, around, version)
    version = None if op == "r" else version
    closed = is_flattened(value) or "__op" in headers
    return RowChange(row=value, around=around, version=version, closed=closed)


def header_version(headers: Mapping[str, str]) -> int | None:
    """The log sequence number that the transform was told to add to the headers."""
    return whole(headers.get("__lsn", headers.get("__source_lsn")))


def read_outbox(value: Any, key: Any, headers: Mapping[str, str]) -> RowChange:
    """The payload of the outbox router: an object, or its JSON as a text.

    Raises:
        CatalogError: it is no object.
    """
    row = value
    if isinstance(row, Mapping) and row.keys() == {"payload", "eventType"}:
        headers = {"eventType": str(row["eventType"]), **headers}
        row = row["payload"]
    if isinstance(row, str):
        row = text_object(row)
    if not isinstance(row, Mapping):
        raise CatalogError("the payload is no JSON object, which a product's event has to be")
    return RowChange(row=row, around={"key": key, "header": headers})


def deleted_row(
    row: Mapping[str, Any], key: Any, around: Mapping[str, Any], version: int | None = None
) -> RowChange:
    """A row that is gone, as far as it is known: what was logged of it, and its key.

    Of a row of which only the key is logged, columns that are never null are there with "", 0 or
    their default.
    """
    keyed = dict(key) if isinstance(key, Mapping) else {}
    known = {
        name: one
        for name, one in row.items()
        if one is not None and one is not UNAVAILABLE and (one or not keyed)
    }
    return RowChange(
        row={**dict.fromkeys(row), **known, **keyed},
        deleted=True,
        around=around,
        version=version,
        closed=True,
    )


def text_object(text: str) -> Any:
    """What a text of JSON says, decoded by its schema if it has one; the text if it is no JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return decoded(value) if isinstance(value, dict) else value


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise CatalogError(f"field `{name}` is no object, as in Debezium's envelopes")
    return found
