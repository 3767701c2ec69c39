"""From a record to a catalog event: mapped where it is another program's, decoded, and coerced
where that has one meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from models.catalog.coerce import coerce_event
from models.catalog.coercion import Coercion
from models.catalog.json_object import read_object
from models.catalog.sources.connect_json import decoded
from models.catalog.sources.formats import (
    ForeignRecord,
    TopicFormat,
    detect_format,
    is_native,
    read_foreign,
)
from models.catalog.sources.mapping import SourceMapping
from models.errors import CatalogError
from stream.codec import convert, decode
from stream.errors import DecodeError
from stream.messages import CatalogEvent
from stream.records import Record
from stream.tombstone_key import tombstone_product
from workers.config.settings import Settings
from workers.deploy.telemetry import COERCED

log = structlog.get_logger()

MAP = "`lookstream map TOPIC` proposes a mapping (catalog.map)"


@dataclass(frozen=True)
class ReadEvent:
    """An event, and the kinds of change that it took to make one of the record.

    `keeps` are fields of the content, and attributes as "attributes.NAME", that are to be as they
    are stored: their values did not change, and are not in the record. `tombstone`: a delete that
    says nothing of a product whose events have versions.
    """

    event: CatalogEvent
    coercions: tuple[Coercion, ...] = ()
    keeps: frozenset[str] = frozenset()
    tombstone: bool = False


@dataclass(frozen=True)
class Nothing:
    """A record that is about no product, such as a message in a database's log."""


@dataclass(frozen=True)
class EventReader:
    """Reads records; `mapping` is for those of other programs, None if there are none.

    Records of `topics` have the format that is given; in any other topic our own events may stand
    beside them. `strict` refuses events that could be coerced; what was mapped is always coerced.
    """

    strict: bool = False
    mapping: SourceMapping | None = None
    format: TopicFormat = TopicFormat.AUTO
    topics: frozenset[str] = frozenset()

    def read(self, record: Record) -> ReadEvent | Nothing:
        """The event in a record.

        Raises:
            DecodeError: it is no catalog event, and cannot be mapped to one.
        """
        if self.mapping is None or self.format is TopicFormat.NATIVE:
            return read_event(record, strict=self.strict)
        if record.topic not in self.topics and self._is_own(record):
            return read_event(record, strict=self.strict)
        return self._mapped(record, self.mapping)

    def _is_own(self, record: Record) -> bool:
        """Whether a record in a topic of both kinds is one of our own events, or means to be."""
        if record.value is None:
            return not (record.key or b"").lstrip().startswith(b"{") or _names_product(record)
        try:
            return is_native(read_object(record.value, "the message"))
        except CatalogError:
            return True  # the decoder says what is wrong

    def _mapped(self, record: Record, mapping: SourceMapping) -> ReadEvent | Nothing:
        headers = {name: value.decode(errors="replace") for name, value in record.headers}
        foreign = ForeignRecord(key=record.key, value=record.value, headers=headers)
        try:
            mapped = read_foreign(foreign, mapping, self.format)
        except CatalogError as error:
            raise DecodeError(str(error)) from error
        if mapped is None:
            return Nothing()
        read = read_fields(mapped.fields)
        return ReadEvent(read.event, read.coercions, mapped.keeps, mapped.tombstone)


def reader_of(settings: Settings) -> EventReader:
    """What reads the records of a deployment."""
    catalog = settings.catalog
    return EventReader(
        settings.ingest.strict, catalog.mapping, catalog.topic_format, frozenset(catalog.topics)
    )


def read_event(record: Record, *, strict: bool = False) -> ReadEvent:
    """The event in a record that is one of ours; a null value is Kafka's own way to delete a key.

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
    try:
        return read_fields(fields)
    except DecodeError as error:
        raise _of_another_program(fields, record) or error from error


def read_fields(fields: dict[str, Any], *, strict: bool = False) -> ReadEvent:
    """The event that a JSON object is; raises like `read_event`."""
    if strict:
        return ReadEvent(convert(fields, CatalogEvent))
    try:
        coerced = coerce_event(fields)
    except CatalogError as error:
        raise DecodeError(str(error)) from error
    return ReadEvent(convert(coerced.fields, CatalogEvent), coerced.kinds)


def _names_product(record: Record) -> bool:
    """Whether the key of a tombstone is {"product_id": …}, as our own producers may write it."""
    try:
        fields = decoded(read_object(record.key or b"", "the key"))
    except CatalogError:
        return True
    return isinstance(fields, dict) and fields.keys() == {"product_id"}


def _of_another_program(fields: dict[str, Any], record: Record) -> DecodeError | None:
    """What to say of a record that is a change event of another program, and nothing is mapped."""
    value = decoded(fields)
    if not isinstance(value, dict):
        return None
    found = detect_format(value, {name: "" for name, _ in record.headers})
    if found in (TopicFormat.DEBEZIUM, TopicFormat.CLOUDEVENTS):
        return DecodeError(
            f"this is an event of format {found.value}, and the settings map none: {MAP}"
        )
    return None


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
