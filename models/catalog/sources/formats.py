"""The formats of records on a topic: which one a record has, and the change that it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from models.catalog.json_object import printable
from models.catalog.sources.cloudevents import is_cloudevent, read_cloudevent
from models.catalog.sources.connect_json import read_key, read_value
from models.catalog.sources.debezium import (
    deleted_row,
    header_version,
    is_envelope,
    is_flattened,
    read_envelope,
    read_flattened,
    read_outbox,
)
from models.catalog.sources.expression import Path
from models.catalog.sources.mapping import MappedEvent, SourceMapping, map_change
from models.catalog.sources.row_change import RowChange
from models.errors import CatalogError

EVENTS = ("upsert", "patch", "delete")
"""The types of our own events."""


class TopicFormat(StrEnum):
    """How the records of a topic are written."""

    AUTO = "auto"
    NATIVE = "native"
    DEBEZIUM = "debezium"
    UNWRAPPED = "unwrapped"
    OUTBOX = "outbox"
    CLOUDEVENTS = "cloudevents"


_DELETES_SAID_BEFORE = (TopicFormat.DEBEZIUM, TopicFormat.CLOUDEVENTS)
"""Here a tombstone follows the event of a delete, which says when it was; it says nothing new."""


@dataclass(frozen=True, kw_only=True)
class ForeignRecord:
    """A record as it was read from a topic: bytes, and headers as text."""

    key: bytes | None
    value: bytes | None = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


def is_native(fields: Mapping[str, Any]) -> bool:
    """Whether an object is one of our own events, or means to be."""
    return fields.get("type") in EVENTS and "product_id" in fields


def detect_format(value: Mapping[str, Any], headers: Mapping[str, str]) -> TopicFormat:
    """The format of a decoded value; rows without any mark are `UNWRAPPED`."""
    if is_native(value):
        return TopicFormat.NATIVE
    if is_envelope(value):
        return TopicFormat.DEBEZIUM
    if is_cloudevent(value, headers):
        return TopicFormat.CLOUDEVENTS
    if not is_flattened(value) and "id" in headers:
        return TopicFormat.OUTBOX
    return TopicFormat.UNWRAPPED


def read_foreign(
    record: ForeignRecord, mapping: SourceMapping, given: TopicFormat = TopicFormat.AUTO
) -> MappedEvent | None:
    """The catalog event in a record of another program; None if the record changes no product.

    Raises:
        CatalogError: it is none; the sentence names the field and what to do.
    """
    change = read_change(record, mapping, given)
    if change is None or isinstance(change, MappedEvent):
        return change
    return map_change(mapping, change)


def read_change(
    record: ForeignRecord, mapping: SourceMapping | None, given: TopicFormat = TopicFormat.AUTO
) -> RowChange | MappedEvent | None:
    """The change in a record, before it is mapped; our own events as they are.

    Raises:
        CatalogError: the record is not of this format.
    """
    key = read_key(record.key)
    value = _value(record, given)
    if value is None:
        if given in _DELETES_SAID_BEFORE:
            return None
        return _tombstone(key, mapping, record.headers)
    if not isinstance(value, Mapping):
        if given is TopicFormat.OUTBOX:
            return read_outbox(value, key, record.headers)
        raise CatalogError("the message is no JSON object, which a row has to be")
    chosen = detect_format(value, record.headers) if given is TopicFormat.AUTO else given
    return _change_of(chosen, value, key, record.headers)


def _change_of(
    form: TopicFormat, value: Mapping[str, Any], key: Any, headers: Mapping[str, str]
) -> RowChange | MappedEvent | None:
    match form:
        case TopicFormat.NATIVE:
            return MappedEvent(dict(value))
        case TopicFormat.DEBEZIUM:
            return read_envelope(value, key)
        case TopicFormat.CLOUDEVENTS:
            return read_cloudevent(value, key, headers)
        case TopicFormat.OUTBOX:
            outbox = read_outbox(value, key, headers)
            return MappedEvent(dict(outbox.row)) if is_native(outbox.row) else outbox
        case _:
            return read_flattened(value, key, headers)


def _value(record: ForeignRecord, given: TopicFormat) -> Any:
    """The payload; an outbox may write its JSON as a text.

    None of a tombstone, which may be written as null: the JSON converter does so without schemas.
    """
    data = record.value
    if data is None or data.strip() == b"null":
        return None
    if given is TopicFormat.OUTBOX and data.lstrip()[:1] == b'"':
        return read_key(data)
    return read_value(data)


def _tombstone(key: Any, mapping: SourceMapping | None, headers: Mapping[str, str]) -> RowChange:
    """The row that a record without a value deletes, by its key."""
    change = _keyed_row(key, mapping)
    return replace(change, version=header_version(headers), tombstone=True)


def _keyed_row(key: Any, mapping: SourceMapping | None) -> RowChange:
    if key is None:
        raise CatalogError("the record has neither key nor value, so that it names no product")
    if isinstance(key, Mapping):
        return deleted_row({}, key, {"key": key})
    column = mapping.fields["product_id"] if mapping else None
    if isinstance(column, Path) and not isinstance(key, list | bool):
        return deleted_row({}, {column.names[-1]: key, column.names[0]: key}, {"key": key})
    raise CatalogError(
        f"the key of this tombstone is {printable(repr(key), 60)}, which catalog.map.product_id "
        "cannot be made of: map product_id to one column, or use a JSON converter for keys"
    )
