"""What a field of a message may be, and what was found there: the end of a `DecodeError`'s text."""

import re
from typing import Any

import msgspec
from msgspec import inspect

_FIELD = re.compile(r"(?P<name>\w+)(?P<element>\[\d+\])?\Z")


def allowed(kind: type[msgspec.Struct], path: str, found: dict[str, Any]) -> str:
    """Both bounds of the number or text at a path of a message, and what is there.

    " (allowed: 1 to 100, got 101)"; "" where the field has no bounds. `path` is as msgspec gives it
    (`top`, `images[0]`); `found` is the message as plain data, {} where it cannot be read.
    """
    match = _FIELD.match(path)
    info = inspect.type_info(kind)
    if match is None or not isinstance(info, inspect.StructType):
        return ""
    field = next((one for one in info.fields if one.encode_name == match["name"]), None)
    if field is None:
        return ""
    bounds = next(filter(None, map(_bounds, _choices(field.type, match["element"]))), "")
    if not bounds:
        return ""
    value = None if match["element"] else found.get(match["name"])
    if isinstance(value, str):
        return f" (allowed: {bounds}, got {len(value)})"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f" (allowed: {bounds}, got {value})"
    return f" (allowed: {bounds})"


def _choices(type_: inspect.Type, element: str | None) -> list[inspect.Type]:
    """The types of a field or, with `element`, of what it is a list of."""
    found = list(type_.types) if isinstance(type_, inspect.UnionType) else [type_]
    if element:
        return [one.item_type for one in found if isinstance(one, inspect.VarTupleType)]
    return found


def _bounds(type_: inspect.Type) -> str:
    if isinstance(type_, inspect.IntType | inspect.FloatType):
        return _span(type_.ge, type_.le)
    if isinstance(type_, inspect.StrType) and (text := _span(type_.min_length, type_.max_length)):
        return f"{text} characters"
    return ""


def _span(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"{least} to {most}"
    if most is not None:
        return f"at most {most}"
    return "" if least is None else f"at least {least}"
