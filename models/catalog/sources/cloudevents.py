"""CloudEvents 1.0 in JSON: structured (one object), or binary (attributes in Kafka's headers).

Debezium's converter writes {before, after} as `data`, and its own attributes as `iodebezium…`. What
other producers write as `data` is the row itself, and the attributes are under `event`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.catalog.sources.connect_json import decoded
from models.catalog.sources.debezium import read_envelope, text_object
from models.catalog.sources.row_change import RowChange
from models.errors import CatalogError

_OURS = "iodebezium"
_HEADER = "ce_"


def is_cloudevent(value: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """Whether a record is a CloudEvent in one of the two modes."""
    structured = "specversion" in value and "type" in value and "id" in value
    return structured or f"{_HEADER}specversion" in headers


def read_cloudevent(
    value: Mapping[str, Any], key: Any, headers: Mapping[str, str]
) -> RowChange | None:
    """The change in a CloudEvent.

    Raises:
        CatalogError: its `data` is no JSON object.
    """
    if f"{_HEADER}specversion" in headers:
        event = {
            name.removeprefix(_HEADER): one
            for name, one in headers.items()
            if name.startswith(_HEADER)
        }
        data: Any = value
    else:
        event = {name: one for name, one in value.items() if name != "data"}
        data = value.get("data")
    if isinstance(data, str):
        data = text_object(data)
    if isinstance(data, dict):
        data = decoded(data)
    if not isinstance(data, Mapping):
        raise CatalogError("field `data` of the CloudEvent is no JSON object")
    if (op := event.get(f"{_OURS}op")) is not None:
        source = {
            name.removeprefix(_OURS): one for name, one in event.items() if name.startswith(_OURS)
        }
        envelope = {**data, "op": op, "source": source}
        return read_envelope(envelope, key)
    return RowChange(row=data, around={"key": key, "event": event})
