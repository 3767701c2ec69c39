"""A JSON object as every JSON tool reads it; what only some parsers let through is named by field.

Python's own parser accepts NaN, Infinity, halves of surrogate pairs and integers of any size. Other
tools read each of them as something else (orjson writes NaN as null, which clears a price), so they
are refused here, before anything is made of them.
"""

import codecs
import json
import math
from typing import Any

from models.errors import CatalogError

INT64 = range(-(2**63), 2**63)
"""The integers that JSON tools and the index agree on."""

STRING = "write it as a string"
REMOVE = "remove it, or write the whole character"
LEAVE_OUT = "leave the field out, or write null to clear it"


def read_object(data: bytes, what: str = "the row") -> dict[str, Any]:
    """The JSON object in `data`, UTF-8, with or without a byte-order mark.

    Raises:
        CatalogError: it is no JSON object, or a field holds what JSON cannot; the sentence names
            the field and what to write instead. `what` is its subject.
    """
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CatalogError(
            f"{what} is not JSON: byte {error.start} is not UTF-8; save it as UTF-8"
        ) from error
    try:
        value = json.loads(text)
        if isinstance(value, dict):
            return check_object(value)
    except json.JSONDecodeError as error:
        at = (
            f"line {error.lineno} column {error.colno}" if "\n" in text else f"column {error.colno}"
        )
        raise CatalogError(f"{what} is not JSON: {error.msg} at {at}") from error
    except RecursionError as error:
        raise CatalogError(f"{what} cannot be read: its JSON is nested too deeply") from error
    except ValueError as error:
        raise CatalogError(f"{what} holds an integer of thousands of digits: {STRING}") from error
    raise CatalogError(f"{what} is {_kind(value)}; expected a JSON object")


def check_object(fields: dict[str, Any]) -> dict[str, Any]:
    """The object itself.

    Raises:
        CatalogError: it holds what JSON cannot; the sentence names the field.
    """
    if problem := _problem(fields, ""):
        raise CatalogError(problem)
    return fields


def _problem(value: object, path: str) -> str | None:
    """The first thing in a value that JSON cannot hold, where it is, and what to do about it."""
    where = f"field `{printable(path)}`"
    match value:
        case str() if not _is_unicode(value):
            return f"{where} holds half of a surrogate pair, which is no character: {REMOVE}"
        case float() if not math.isfinite(value):
            name = "NaN" if math.isnan(value) else "infinite"
            return f"{where} is {name}, which JSON does not have: {LEAVE_OUT}"
        case int() if value not in INT64:
            return f"{where} is an integer beyond 64 bits: {STRING}"
        case list():
            inside = ((f"{path}[{number}]", one) for number, one in enumerate(value))
        case dict():
            if (odd := next((name for name in value if not _is_unicode(name)), None)) is not None:
                return f"the name `{printable(odd)}` holds half of a surrogate pair: {REMOVE}"
            inside = ((f"{path}.{name}" if path else name, one) for name, one in value.items())
        case _:
            return None
    return next((found for at, one in inside if (found := _problem(one, at))), None)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str, most: int = 100) -> str:
    """The text as a message can show it: on one line, without halves of pairs, cut to `most`."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "a number"
