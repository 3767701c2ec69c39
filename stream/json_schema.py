"""JSON Schemas (2020-12) of the messages, made from their structs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from stream.messages import (
    AttributedClick,
    Click,
    Impression,
    Message,
    OfferPatch,
    Outcomes,
    ProductDelete,
    ProductUpsert,
    Query,
    Result,
)
from stream.schema_1 import ResultOfSchema1

JsonSchema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"

WRITTEN_BY_ANYONE: Final[dict[str, type[Message]]] = {
    "upsert": ProductUpsert,
    "patch": OfferPatch,
    "delete": ProductDelete,
    "query": Query,
    "click": Click,
}
"""What other programs write and we read; a new version must read what they wrote before."""
WRITTEN_BY_US: Final[dict[str, type[Message]]] = {
    "result": Result,
    "result-1": ResultOfSchema1,
    "impression": Impression,
    "attributed_click": AttributedClick,
    "outcomes": Outcomes,
}
"""What we write and other programs read; they must understand what a new version writes."""
MESSAGES: Final = {**WRITTEN_BY_ANYONE, **WRITTEN_BY_US}


def schema_components(kinds: Iterable[Any], ref_template: str) -> dict[str, JsonSchema]:
    """The schema of each struct and of what it is made of, by the struct's name.

    As `msgspec.json.schema_components`, with anchors that every regular expression has: `\\A` and
    `\\Z` are Python's, and in JavaScript they are the letters A and Z.
    """
    _, found = msgspec.json.schema_components(tuple(kinds), ref_template=ref_template)
    return {name: _portable(schema) for name, schema in found.items()}


def message_schemas() -> dict[str, JsonSchema]:
    """A schema for each message, complete in itself; by the names of `MESSAGES`."""
    return {name: _complete(kind) for name, kind in MESSAGES.items()}


def _complete(kind: type[Message]) -> JsonSchema:
    parts = schema_components((kind,), "#/$defs/{name}")
    root = parts.pop(kind.__name__)
    return {"$schema": DIALECT, **root} | ({"$defs": parts} if parts else {})


def _portable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _value(name, one) for name, one in value.items()}
    return [_portable(one) for one in value] if isinstance(value, list | tuple) else value


def _value(name: str, value: Any) -> Any:
    if name == "pattern" and isinstance(value, str):
        return value.replace(r"\A", "^").replace(r"\Z", "$")
    if name == "description" and isinstance(value, str):
        return inspect.cleandoc(value)
    return _portable(value)
