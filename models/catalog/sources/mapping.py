"""From a row of a source to a catalog event, by expressions; a pure function.

A mapping that names content (title, pictures and so on) makes upserts of rows, and one that names
only fields of the offer makes patches. A row that is deleted, or that `filter` leaves out, becomes
a delete: that the product was known before cannot be seen in the record, and a late record must not
bring it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from models.catalog.coerce import CONTENT, OFFER
from models.catalog.json_object import check_object, printable
from models.catalog.sources.evaluate import UNAVAILABLE, Scope, evaluate, holds
from models.catalog.sources.expression import Expression, Path, parse_expression
from models.catalog.sources.row_change import RowChange
from models.errors import CatalogError, MappingError

FIELDS = ("product_id", "version", "event_time", *CONTENT, *OFFER)
"""What a mapping can name."""
PICTURES = {"image", "images"}

REPLICA_IDENTITY = (
    "map product_id to a column of the table's key, or let the table log all columns "
    "(ALTER TABLE … REPLICA IDENTITY FULL)"
)


@dataclass(frozen=True)
class SourceMapping:
    """A mapping that was read: see `read_mapping`.

    `fields` holds an expression per field; several of `images`, and those of `attributes` by the
    name that each gets (under "" an expression that gives an object).
    """

    fields: Mapping[str, Expression]
    images: tuple[Expression, ...] = ()
    attributes: Mapping[str, Expression] = field(default_factory=dict)
    filter: Expression | None = None
    deleted: Expression | None = None

    @property
    def has_content(self) -> bool:
        """Whether rows become upserts, not patches."""
        return bool(self.images) or any(name in self.fields for name in CONTENT)

    def expressions(self) -> Iterator[Expression]:
        """All of them."""
        yield from (*self.fields.values(), *self.images, *self.attributes.values())
        yield from (one for one in (self.filter, self.deleted) if one is not None)


@dataclass(frozen=True)
class MappedEvent:
    """The fields of a catalog event, not coerced yet.

    `keeps` are fields of the content, and attributes as "attributes.NAME", whose value is not in
    the record because it did not change: what is there is to be kept. `tombstone`: all that is
    known is that a key is gone, not when; where events have versions, one with it said so before.
    """

    fields: dict[str, Any]
    keeps: frozenset[str] = frozenset()
    tombstone: bool = False


def read_mapping(fields: Mapping[str, Any], when: Mapping[str, str | None]) -> SourceMapping:
    """The mapping that the settings describe: texts, lists and tables of texts.

    Raises:
        MappingError: an expression cannot be read, or a field is none; names the field.
    """
    single: dict[str, Expression] = {}
    images: tuple[Expression, ...] = ()
    attributes: dict[str, Expression] = {}
    for name, given in fields.items():
        if given is None:
            continue
        if name not in FIELDS:
            raise MappingError(f"{name} is no field of an event; there are {', '.join(FIELDS)}")
        if name == "images":
            texts = [given] if isinstance(given, str) else given
            images = tuple(_parsed(name, one) for one in texts)
        elif name == "attributes":
            attributes = _attributes(given)
        else:
            single[name] = _parsed(name, given)
    if "product_id" not in single:
        raise MappingError("product_id is missing: name the column that holds the product's id")
    if not images and not attributes and not single.keys() & {*CONTENT, *OFFER}:
        raise MappingError("nothing but product_id is mapped: name a title, an image, a price")
    conditions = {name: _parsed(name, text) for name, text in when.items() if text}
    return SourceMapping(
        single, images, attributes, conditions.get("filter"), conditions.get("deleted")
    )


def map_change(mapping: SourceMapping, change: RowChange) -> MappedEvent | None:
    """The event that a change of a row is; None if it changes nothing.

    Raises:
        CatalogError: a column is missing or has a value of the wrong kind; names the field.
    """
    scope = change.scope
    product_id = _product_id(mapping, change)
    fields: dict[str, Any] = {"product_id": product_id}
    version = _version(mapping, change)
    if version is not None:
        fields["version"] = version
    if "event_time" in mapping.fields and not change.deleted:
        time = _value(mapping, "event_time", scope)
        if time is not None and time is not UNAVAILABLE:
            fields["event_time"] = _milliseconds(time)
    if _is_gone(mapping, change, scope):
        echo = change.tombstone and version is None and "version" not in mapping.fields
        return MappedEvent(_gone(mapping, fields), tombstone=echo)
    _check_same_product(mapping, change, product_id)
    keeps = _set_fields(mapping, scope, fields)
    kind = "upsert" if mapping.has_content else "patch"
    if kind == "patch" and not any(name in fields for name in OFFER) and not keeps:
        return None  # all of it is unavailable: nothing changed
    return MappedEvent(check_object({"type": kind, **fields}), frozenset(keeps))


def _set_fields(mapping: SourceMapping, scope: Scope, fields: dict[str, Any]) -> set[str]:
    """Add content and offer to `fields`; what is unavailable of them is returned."""
    keeps: set[str] = set()
    for name in (*CONTENT, *OFFER):
        if name == "images" and mapping.images:
            value = _images(mapping, scope)
        elif name == "attributes" and mapping.attributes:
            value = _attribute_values(mapping, scope, keeps)
        elif name in mapping.fields:
            value = _value(mapping, name, scope)
        else:
            continue
        if value is UNAVAILABLE:
            if name in CONTENT:
                keeps.add(name)
            continue  # a field of the offer that is left out keeps its value
        fields[name] = value
    mapped = {"image"} & mapping.fields.keys() | ({"images"} if mapping.images else set())
    return keeps | PICTURES if mapped and mapped <= keeps else keeps


def _is_gone(mapping: SourceMapping, change: RowChange, scope: Scope) -> bool:
    """Whether the row is deleted, or not to be shown."""
    if change.deleted:
        return True
    for name, condition, gone in (
        ("deleted", mapping.deleted, True),
        ("filter", mapping.filter, False),
    ):
        if condition is not None:
            try:
                if holds(condition, scope) is gone:
                    return True
            except CatalogError as error:
                raise CatalogError(f"catalog.when.{name}: {error}") from error
    return False


def _gone(mapping: SourceMapping, fields: dict[str, Any]) -> dict[str, Any]:
    """A delete; of a mapping of the offer alone, a patch that clears what it sets."""
    if mapping.has_content:
        return check_object({"type": "delete", **fields})
    cleared = [name for name in OFFER if name in mapping.fields]
    if mapping.attributes:
        cleared.append("attributes")
    return check_object({"type": "patch", **fields, **dict.fromkeys(cleared)})


def _product_id(mapping: SourceMapping, change: RowChange) -> Any:
    try:
        value = evaluate(mapping.fields["product_id"], change.scope)
    except CatalogError as error:
        hint = f"; {REPLICA_IDENTITY}" if change.deleted else ""
        raise CatalogError(f"catalog.map.product_id: {error}{hint}") from error
    if value is None or value is UNAVAILABLE or value == "":
        what = f"catalog.map.product_id, {_named(mapping.fields['product_id'])}, is empty"
        if change.deleted:
            raise CatalogError(
                f"{what} in a row that was deleted, so that it says not which: {REPLICA_IDENTITY}"
            )
        raise CatalogError(f"{what}: map product_id to a column that every row has")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _version(mapping: SourceMapping, change: RowChange) -> Any:
    """What orders the change; of a deleted row whose version is not in its key, its time does.

    Beside the key the row may hold defaults, which would be a version of long ago.
    """
    if "version" not in mapping.fields:
        return change.version
    if not change.deleted:
        value = _value(mapping, "version", change.scope)
        return None if value is UNAVAILABLE else value
    key = change.around.get("key")
    scope = Scope(key if isinstance(key, Mapping) else {}, change.around, closed=True)
    try:
        return _value(mapping, "version", scope)
    except CatalogError:
        return None


def _check_same_product(mapping: SourceMapping, change: RowChange, product_id: Any) -> None:
    """One record can change one product: an id that is no key of the table may change in it."""
    if not change.before:
        return
    try:
        before = _product_id(mapping, RowChange(row=change.before, around=change.around))
    except CatalogError:
        return  # only the key is logged of a row before
    if before != product_id:
        raise CatalogError(
            f"catalog.map.product_id was {printable(str(before), 40)!r} before this change and is "
            f"{printable(str(product_id), 40)!r} now: map it to the table's key, whose changes "
            "are a delete and a create; or send a delete of the old product, and redrive this"
        )


def _value(mapping: SourceMapping, name: str, scope: Scope) -> Any:
    try:
        return evaluate(mapping.fields[name], scope)
    except CatalogError as error:
        raise CatalogError(f"catalog.map.{name}: {error}") from error


def _images(mapping: SourceMapping, scope: Scope) -> Any:
    found: list[Any] = []
    for expression in mapping.images:
        try:
            value = evaluate(expression, scope)
        except CatalogError as error:
            raise CatalogError(f"catalog.map.images: {error}") from error
        if value is UNAVAILABLE:
            return UNAVAILABLE
        found += value if isinstance(value, list) else [value]
    return [one for one in found if one is not None and one != ""]


def _attribute_values(mapping: SourceMapping, scope: Scope, keeps: set[str]) -> Any:
    found: dict[str, Any] = {}
    unavailable: set[str] = set()
    for name, expression in mapping.attributes.items():
        try:
            value = evaluate(expression, scope)
        except CatalogError as error:
            raise CatalogError(f"catalog.map.attributes: {error}") from error
        if value is UNAVAILABLE:
            unavailable.add(name)
        elif name:
            found[name] = None if value == "" else value
        elif isinstance(value, Mapping):
            found |= value
        elif value is not None:
            raise CatalogError(
                f"catalog.map.attributes: {_named(expression)} is no object: name the columns, "
                '["color", "brand"]'
            )
    if not found or "" in unavailable:
        return UNAVAILABLE if unavailable else found
    keeps |= {f"attributes.{name}" for name in unavailable}
    return found


def _attributes(given: Any) -> dict[str, Expression]:
    if isinstance(given, str):
        return {"": _parsed("attributes", given)}
    if isinstance(given, Mapping):
        return {name: _parsed("attributes", text) for name, text in given.items()}
    found: dict[str, Expression] = {}
    for text in given:
        expression = _parsed("attributes", text)
        if not isinstance(expression, Path):
            raise MappingError(
                f"attributes: {text!r} has no name: write a table, "
                f"attributes = {{ name = {text!r} }}"
            )
        found[expression.names[-1]] = expression
    return found


def _parsed(name: str, text: Any) -> Expression:
    try:
        return parse_expression(text)
    except MappingError as error:
        raise MappingError(f"{name}: {error}") from error


def _named(expression: Expression) -> str:
    return f"`{expression}`" if isinstance(expression, Path) else "an expression"


def _milliseconds(time: Any) -> Any:
    """A time as events have it: a text of ISO 8601 (UTC without a zone) in milliseconds."""
    if not isinstance(time, str) or time.strip().isdigit():
        return time
    try:
        moment = datetime.fromisoformat(time.strip())
    except ValueError as error:
        raise CatalogError(
            f"catalog.map.event_time: {printable(time, 40)!r} is no time: expected milliseconds "
            "since the epoch, or ISO 8601 (2026-05-01T12:00:00Z)"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(1000 * moment.timestamp())
