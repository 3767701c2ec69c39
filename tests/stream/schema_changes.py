"""Which changes of a JSON Schema break programs that were written for the old one.

Of the schemas that `stream.json_schema` makes, not of any: types, enums, bounds, patterns, objects,
arrays, `anyOf` and references inside the document.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from stream.json_schema import JsonSchema

LOWER = ("minimum", "minLength", "minItems")
UPPER = ("maximum", "maxLength", "maxItems")


def breaking_changes(old: JsonSchema, new: JsonSchema, *, we_write: bool) -> list[str]:
    """What breaks, one line each; empty if nothing does.

    Args:
        old, new: schemas of the same message.
        we_write: the message is written by us, so that readers of `old` must understand what is
            written by `new` (a field that they don't know is left alone). Otherwise others write
            it: what is written by `old` must be read by `new`.
    """
    if we_write:
        return list(_refused(_Place(new, new, ""), _Place(old, old, ""), forgiving=True))
    return list(_refused(_Place(old, old, ""), _Place(new, new, ""), forgiving=False))


class _Place(NamedTuple):
    """A schema inside a document, and the path of what it describes."""

    document: JsonSchema
    schema: JsonSchema
    path: str

    def at(self, schema: Any, step: str) -> _Place:
        found = schema if isinstance(schema, dict) else {}
        while "$ref" in found:
            found = self.document["$defs"][found["$ref"].rpartition("/")[2]]
        return _Place(self.document, found, f"{self.path}{step}")

    def options(self) -> list[_Place]:
        return [self.at(one, "") for one in self.schema.get("anyOf", [self.schema])]


def _refused(writer: _Place, reader: _Place, *, forgiving: bool) -> Iterator[str]:
    """What may be written by one schema and is not understood by the other."""
    accepting = reader.options()
    for one in writer.options():
        problems = [list(_compared(one, other, forgiving)) for other in accepting]
        if all(problems):
            yield from min(problems, key=len)


def _compared(writer: _Place, reader: _Place, forgiving: bool) -> Iterator[str]:
    path = writer.path or "the message"
    written, read = _kinds(writer.schema), _kinds(reader.schema)
    if read is not None and (written is None or not written <= read):
        yield f"{path}: may be {_named(written)}, which is not {_named(read)}"
        return
    yield from _bounds(writer.schema, reader.schema, path)
    if "properties" in reader.schema or "properties" in writer.schema:
        yield from _fields(writer, reader, forgiving)
    for step, mine, other in _inner(writer.schema, reader.schema):
        yield from _refused(writer.at(mine, step), reader.at(other, step), forgiving=forgiving)


def _kinds(schema: JsonSchema) -> set[str] | None:
    """Values or types that a schema allows; None for any."""
    if "enum" in schema:
        return {repr(one) for one in schema["enum"]}
    kind = schema.get("type")
    return {"number": {"integer", "number"}}.get(kind, {kind}) if kind else None


def _bounds(writer: JsonSchema, reader: JsonSchema, path: str) -> Iterator[str]:
    for names, sign in ((LOWER, 1), (UPPER, -1)):
        for name in names:
            if name in reader and (name not in writer or sign * (reader[name] - writer[name]) > 0):
                yield f"{path}: {name} is {writer.get(name, 'open')} and {reader[name]}"
    if "pattern" in reader and reader["pattern"] != writer.get("pattern"):
        yield f"{path}: pattern is {writer.get('pattern', 'open')} and {reader['pattern']}"


def _fields(writer: _Place, reader: _Place, forgiving: bool) -> Iterator[str]:
    written, read = writer.schema.get("properties", {}), reader.schema.get("properties", {})
    always = set(writer.schema.get("required", ()))
    for name in sorted(set(reader.schema.get("required", ())) - always):
        yield f"{writer.path}.{name}: needed by the reader, and may be left out by the writer"
    for name in sorted(written.keys() - read.keys()):
        if not forgiving and reader.schema.get("additionalProperties") is False:
            yield f"{writer.path}.{name}: written, and not known to the reader"
    if forgiving:
        for name in sorted(read.keys() - written.keys()):
            yield f"{writer.path}.{name}: no longer written"
    for name in sorted(written.keys() & read.keys()):
        mine, other = written[name], read[name]
        if name not in always and mine.get("default") != other.get("default"):
            yield f"{writer.path}.{name}: what it means to leave it out has changed"
        step = f".{name}"
        yield from _refused(writer.at(mine, step), reader.at(other, step), forgiving=forgiving)


def _inner(writer: JsonSchema, reader: JsonSchema) -> Iterator[tuple[str, Any, Any]]:
    """Schemas of elements and of values by any name, where the reader has some."""
    pairs = zip(writer.get("prefixItems", ()), reader.get("prefixItems", ()), strict=False)
    yield from (("[]", mine, other) for mine, other in pairs)
    for name, step in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(reader.get(name), dict):
            yield step, writer.get(name), reader[name]


def _named(kinds: set[str] | None) -> str:
    return "anything" if kinds is None else " or ".join(sorted(kinds))
