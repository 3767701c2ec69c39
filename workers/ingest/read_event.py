"""From a record to a catalog event: decoded, and coerced where that has one meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from models.catalog.coerce import coerce_event
from models.catalog.coercion import Coercion
from models.catalog.json_object import read_object
from models.errors import CatalogError
from stream.codec import convert, decode
from stream.errors import DecodeError
from stream.messages import CatalogEvent
from stream.records import Record
from stream.tombstone_key import tombstone_product
from workers.deploy.telemetry import COERCED

log = structlog.get_logger()


@dataclass(frozen=True)
class ReadEvent:
    """An event, and the kinds of change that it took to make one of the record."""

    event: CatalogEvent
    coercions: tuple[Coercion, ...] = ()


def read_event(record: Record, *, strict: bool = False) -> ReadEvent:
    """The event in a record; a null value is Kafka's own way to delete a key.

    Elsewhere the key is not read: it only chooses the partition.

    Raises:
        DecodeError: it is no catalog event; if `strict`, also where it could be made one.
    """
    if record.value is None:
        fields = {"type": "delete", "product_id": tombstone_product(record.key or b"")}
        return read_fields(fields, strict=strict)
    if strict or not record.value:
        return ReadEvent(decode(record.value, CatalogEvent))
    try:
        fields = read_object(record.value, "the message")
    except CatalogError as error:
        raise DecodeError(str(error)) from error
    return read_fields(fields)


def read_fields(fields: dict[str, Any], *, strict: bool = False) -> ReadEvent:
    """The event that a JSON object is; raises like `read_event`."""
    if strict:
        return ReadEvent(convert(fields, CatalogEvent))
    try:
        coerced = coerce_event(fields)
    except CatalogError as error:
        raise DecodeError(str(error)) from error
    return ReadEvent(convert(coerced.fields, CatalogEvent), coerced.kinds)


class CoercionReport:
    """Counts the kinds of coercion, and logs each when it first occurs."""

    def __init__(self) -> None:
        self._logged: set[Coercion] = set()

    def note(self, product_id: str, coercions: Sequence[Coercion]) -> None:
        """Take note of an event's coercions."""
        for kind in coercions:
            COERCED.labels("ingest", kind.value).inc()
            if kind not in self._logged:
                self._logged.add(kind)
                log.warning(
                    "events are coerced; correct the producer, or refuse them with ingest.strict",
                    kind=kind.value,
                    meaning=kind.meaning,
                    first=product_id,
                )
