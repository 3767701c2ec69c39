"""Messages to bytes and back.

msgspec checks types while it parses (about a microsecond per small message). Its errors become a
`DecodeError` for the person who reads the dead-letter topic: which field, what was expected, which
fields exist. orjson is for JSON without a type.
"""

import re
from functools import lru_cache
from types import UnionType
from typing import Any, TypeVar, get_args, overload

import msgspec
import orjson

from stream.bounds import allowed
from stream.errors import DecodeError
from stream.messages import Message

T = TypeVar("T", bound=Message)

_AT = re.compile(r"(?P<what>.*) - at `\$\.?(?P<path>.*)`\Z", re.DOTALL)
_OURS = re.compile(r"field `(?P<name>[\w.\[\]]+)`")
_NAMED = re.compile(r"Object (?P<how>missing required|contains unknown) field `(?P<name>[^`]*)`")


def encode(message: Message) -> bytes:
    """Return the message as one line of UTF-8 JSON, without the fields that hold their default."""
    return msgspec.json.encode(message)


@overload
def decode(data: bytes | None, kind: type[T]) -> T: ...
@overload
def decode(data: bytes | None, kind: UnionType) -> Any: ...


def decode(data: bytes | None, kind: Any) -> Any:
    """Return the message in `data`, checked against a message type or a union of them.

    Raises `DecodeError`, whose text says what is wrong and what was expected.
    """
    if not data:
        raise DecodeError(f"the message is empty; expected a JSON object of {_names(kind)}")
    try:
        return _decoder(kind).decode(data)
    except msgspec.ValidationError as error:
        raise _explained(str(error), _as_dict(data), kind) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"the message is not JSON: {_syntax(data, error)}") from error


def convert(fields: dict[str, Any], kind: Any) -> Any:
    """`decode` for a JSON object that was read already."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error), fields, kind) from error


@lru_cache(maxsize=32)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _explained(error: str, found: dict[str, Any], kind: Any) -> DecodeError:
    """The error for a message that is JSON, with the field that it names."""
    text = _explain(error, found, kind)
    named = _OURS.search(text)
    return DecodeError(text, named["name"] if named else None)


def _explain(error: str, found: dict[str, Any], kind: Any) -> str:
    """A msgspec validation error, reworded in terms of our fields; `found` is the message."""
    at = _AT.match(error)
    what, path = (at["what"], at["path"]) if at else (error, "")
    if path == "type":
        return f"field `type` is {found.get('type')!r}; expected {_names(kind)}"
    if path == "schema":
        return (
            f"field `schema` is {found.get('schema')!r}; this reader knows "
            f"{_schemas(found, kind)}: send that, or upgrade the reader"
        )
    if named := _NAMED.match(what):
        name = f"{path}.{named['name']}" if path else named["name"]
        if named["how"] == "missing required":
            hint = f"; expected {_names(kind)}" if name == "type" else ""
            return f"field `{name}` is missing{hint}"
        known = "" if path else f"; known fields: {', '.join(_fields(found, kind))}"
        return f"unknown field `{name}`{known}"
    if what.startswith("field `"):
        return what  # a check of our own
    if "matching regex" in what:
        what = "control characters are not allowed"
    elif what == "Number out of range":
        what = "the number is out of range"
    else:
        what = what.replace("Expected ", "expected ", 1).replace("`", "")
        if "= " in what:  # one of the field's bounds; here are both
            what += allowed(_chosen(found, kind), path, found)
    if path == "event_time":
        given = found.get(path)
        what += f"; it is in milliseconds since the epoch, and {given!r} was given"
    return f"field `{path}`: {what}" if path else what


def _syntax(data: bytes, error: Exception) -> str:
    """Where the JSON is malformed; orjson gives line and column."""
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError as syntax:
        return str(syntax)
    return str(error)  # orjson accepts what msgspec does not


def _as_dict(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:  # malformed after the field that msgspec stopped at
        return {}
    return value if isinstance(value, dict) else {}


def _types(kind: Any) -> tuple[type[Message], ...]:
    return get_args(kind) or (kind,)


def _tag(kind: type[Message]) -> str:
    return str(kind.__struct_config__.tag)


def _names(kind: Any) -> str:
    return "type " + " or ".join(f"'{_tag(t)}'" for t in _types(kind))


def _schemas(found: dict[str, Any], kind: Any) -> str:
    field = msgspec.structs.fields(_chosen(found, kind))
    return next(
        "schema " + " and ".join(map(str, get_args(one.type)))
        for one in field
        if one.name == "schema"
    )


def _fields(found: dict[str, Any], kind: Any) -> list[str]:
    """The fields of the struct that the `type` of a message names."""
    return ["type", *_chosen(found, kind).__struct_fields__]


def _chosen(found: dict[str, Any], kind: Any) -> type[Message]:
    """The struct that the `type` of a message names."""
    types = _types(kind)
    return next((t for t in types if _tag(t) == found.get("type")), types[0])
