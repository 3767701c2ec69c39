"""What an expression gives for one record; a pure function with bounded cost.

A column may be null, and it may be unavailable: a database that logs changes leaves out a large
value that did not change. What is made of an unavailable value is unavailable too, and means "keep
what is there".
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from models.catalog.coerce import NO, YES
from models.catalog.json_object import printable
from models.catalog.sources.expression import (
    Call,
    Compare,
    Constant,
    Either,
    Expression,
    In,
    IsNull,
    Not,
    Path,
)
from models.errors import CatalogError

MAX_TEXT = 1_000_000
"""Characters that `concat` makes."""
MAX_PIECES = 1000
"""Pieces that `split` makes."""


class _Unavailable(Enum):
    UNAVAILABLE = "unavailable"


UNAVAILABLE: Final = _Unavailable.UNAVAILABLE
"""The value did not change, and is not in the record."""


@dataclass(frozen=True)
class Scope:
    """What the names of an expression stand for.

    A path begins with a column of `row`. One with a dot may also begin with a name of `around`:
    what comes with the row, such as `source` and `key`. With `closed` a column that is not there is
    an error, since every row has all columns; otherwise it is null.
    """

    row: Mapping[str, Any]
    around: Mapping[str, Any] = field(default_factory=dict)
    closed: bool = False


def evaluate(expression: Expression, scope: Scope) -> Any:
    """The value of an expression: JSON, or `UNAVAILABLE`.

    Raises:
        CatalogError: a column is missing, or a value is of a kind that the operation cannot take.
    """
    match expression:
        case Constant(value):
            return value
        case Path():
            return _look_up(expression, scope)
        case Call(function, arguments):
            return _FUNCTIONS[function](*(evaluate(one, scope) for one in arguments))
        case _:
            return _condition(expression, scope)


def holds(condition: Expression, scope: Scope) -> bool:
    """Whether a condition holds: true, yes, 1 and the like; null does not.

    Raises:
        CatalogError: its value is neither true nor false, or is unavailable.
    """
    value = evaluate(condition, scope)
    if value is None or isinstance(value, bool):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else value
    if isinstance(word, int | float) and word in (0, 1):
        return bool(word)
    if isinstance(word, str) and (word in YES or word in NO or not word):
        return word in YES
    what = f"`{condition}` is" if isinstance(condition, Path) else "a condition is"
    if value is UNAVAILABLE:
        raise _not_in_the_record(what.removesuffix(" is"))
    raise CatalogError(
        f"{what} {_shown(value)}, which is neither true nor false: compare it with a value"
    )


def _condition(expression: Compare | IsNull | In | Not | Either, scope: Scope) -> bool | None:
    match expression:
        case Compare(sign, left, right):
            return _compare(sign, evaluate(left, scope), evaluate(right, scope))
        case IsNull(inside):
            return evaluate(inside, scope) is None  # what is unavailable is there
        case In(inside, choices):
            value = evaluate(inside, scope)
            found = [_compare("=", value, evaluate(one, scope)) for one in choices]
            return None if value is None else any(found)
        case Not(condition):
            return not holds(condition, scope)
        case Either(every, conditions):
            return (all if every else any)(holds(one, scope) for one in conditions)


def _look_up(path: Path, scope: Scope) -> Any:
    first, *inside = path.names
    if first in scope.around and (inside or first not in scope.row):
        value = scope.around[first]
    elif first in scope.row:
        value = scope.row[first]
    elif scope.closed:
        known = ", ".join(f"`{printable(name, 40)}`" for name in list(scope.row)[:20]) or "none"
        raise CatalogError(f"there is no column `{first}`; there are {known}")
    else:
        return None
    for name in inside:
        if isinstance(value, str):
            value = _json(value)
        if not isinstance(value, Mapping):
            return value if value is UNAVAILABLE else None
        value = value.get(name)
    return value


def _compare(sign: str, left: Any, right: Any) -> bool | None:
    """The outcome; null where one of them is null, as in SQL."""
    if left is UNAVAILABLE or right is UNAVAILABLE:
        raise _not_in_the_record("a value that a condition compares")
    if left is None or right is None:
        return None
    left, right = _alike(left, right)
    if sign in ("=", "!="):
        return bool((left == right) == (sign == "="))
    if isinstance(left, bool) or type(left) is not type(right):
        raise CatalogError(f"{_shown(left)} {sign} {_shown(right)} cannot be compared")
    return bool(_ORDER[sign](left, right))


_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Both as numbers or truths where one is one and the other a text that says one."""
    if isinstance(left, bool) or isinstance(right, bool):
        return _truth(left), _truth(right)
    if isinstance(left, int | float) or isinstance(right, int | float):
        left, right = _number(left), _number(right)
        if isinstance(left, int | float) and isinstance(right, int | float):
            return float(left), float(right)
    return left, right


def _truth(value: Any) -> Any:
    word = str(value).strip().lower()
    return word in YES if word in YES or word in NO else value


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _split(value: Any, separator: Any) -> Any:
    if value is UNAVAILABLE or value is None:
        return value
    if not isinstance(separator, str) or not separator:
        raise CatalogError("split needs a separator: split(path, '>')")
    texts = value if isinstance(value, list) else [value]
    pieces = [
        piece.strip()
        for text in texts
        if text is not None
        for piece in str(text).split(separator, MAX_PIECES)
    ]
    if len(pieces) > MAX_PIECES:
        raise CatalogError(f"split makes over {MAX_PIECES} pieces of {_shown(value)}")
    return [piece for piece in pieces if piece]


def _concat(*values: Any) -> Any:
    """The texts in a row; null if one is null, and a list of texts where one is a list."""
    if UNAVAILABLE in values:
        return UNAVAILABLE
    if None in values:
        return None
    lists = [at for at, value in enumerate(values) if isinstance(value, list)]
    if len(lists) > 1:
        raise CatalogError("concat takes one list at most")
    for at in lists:
        elements = values[at][:MAX_PIECES]
        if any(isinstance(one, list) for one in elements):
            raise CatalogError("concat takes no lists of lists")
        return [_concat(*values[:at], one, *values[at + 1 :]) for one in elements]
    text = "".join(value if isinstance(value, str) else json.dumps(value) for value in values)
    if len(text) > MAX_TEXT:
        raise CatalogError(f"concat makes a text of over {MAX_TEXT:,} characters")
    return text


def _coalesce(*values: Any) -> Any:
    """The first that is neither null nor empty."""
    return next((one for one in values if one is not None and one not in ("", [])), None)


def _json(value: Any) -> Any:
    """What a JSON text says; anything else as it is."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise CatalogError(f"{_shown(value)} is no JSON") from error


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "split": _split,
    "concat": _concat,
    "coalesce": _coalesce,
    "json": _json,
}


def _not_in_the_record(what: str) -> CatalogError:
    return CatalogError(
        f"{what} is not in the record, because it is large and did not change: leave it out of "
        "conditions, or let the table log all columns (ALTER TABLE … REPLICA IDENTITY FULL)"
    )


def _shown(value: Any) -> str:
    return printable(repr(value), 40)
