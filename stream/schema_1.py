"""Schema 1 of results, for readers that were written before schema 2.

A query is answered in the schema that it was asked in: its `schema`, or 2 where it uses a field
that schema 1 does not have. Readers of schema 1 may refuse fields that they do not know, so that
nothing is added to it. Against schema 2, `probability` was `score`, `error` a sentence, and
`took_ms` the total.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import orjson

from stream.codec import decode, encode
from stream.errors import DecodeError
from stream.messages import (
    Attributes,
    Id,
    ItemId,
    Level,
    Message,
    Position,
    Price,
    Probability,
    Query,
    QueryError,
    QueryJuice,
    Result,
    ResultItem,
)

_NEW = (
    "images",
    "objects",
    "like",
    "filter",
    "facets",
    "sort",
    "page",
    "group",
    "min_probability",
    "explain",
    "repair",
    "consistency",
)
"""Fields of a query that schema 1 does not have."""
UNNAMED = "unnamed"
"""The code of an error that came as a sentence."""


class ItemOfSchema1(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """`stream.messages.ResultItem` as it was."""

    product_id: Id
    item_id: ItemId
    score: Probability
    level: Level
    position: Position
    title: str = ""
    category: tuple[str, ...] = ()
    image: str | None = None
    price: Price | None = None
    currency: str | None = None
    in_stock: bool | None = None
    attributes: Attributes | None = None
    caption: str = ""


class ResultOfSchema1(Message, tag="result", frozen=True, kw_only=True):
    """`stream.messages.Result` as it was."""

    query_id: Id
    items: tuple[ItemOfSchema1, ...] = ()
    retrieved: tuple[str, ...] = ()
    juice: QueryJuice | None = None
    model_id: str = ""
    bank_version: str = ""
    took_ms: float = 0.0
    error: str | None = None


def schema_of_unreadable(query: bytes | None) -> Literal[1, 2]:
    """The schema to answer a query in that does not decode."""
    try:
        found = orjson.loads(query or b"")
    except orjson.JSONDecodeError:
        return 1
    if not isinstance(found, dict):
        return 1
    return 1 if found.get("schema", 1) == 1 and not set(_NEW) & set(found) else 2


def schema_of(query: Query) -> Literal[1, 2]:
    """The schema to answer a query in."""
    new = any(getattr(query, name) != getattr(_PLAIN, name) for name in _NEW)
    return 2 if new else query.schema


def encode_result(result: Result) -> bytes:
    """A result in its schema."""
    return encode(result if result.schema == 2 else _in_schema_1(result))


def decode_result(data: bytes | None) -> Result:
    """A result of either schema.

    Raises:
        DecodeError: it is neither.
    """
    try:
        result: Result = decode(data, Result)
    except DecodeError as error:
        try:
            older: ResultOfSchema1 = decode(data, ResultOfSchema1)
        except DecodeError:
            raise error from None
        return _from_schema_1(older)
    return result


def _in_schema_1(result: Result) -> ResultOfSchema1:
    return ResultOfSchema1(
        event_time=result.event_time,
        query_id=result.query_id,
        items=tuple(
            ItemOfSchema1(score=one.probability, **_shared(one, ItemOfSchema1))
            for one in result.items
        ),
        took_ms=result.took_ms.get("total", 0.0),
        error=None if result.error is None else result.error.message,
        **_shared(result, ResultOfSchema1, "query_id", "event_time", "items", "took_ms", "error"),
    )


def _from_schema_1(result: ResultOfSchema1) -> Result:
    items = tuple(
        ResultItem(probability=one.score, **_shared(one, ResultItem)) for one in result.items
    )
    return Result(
        items=items,
        found=len(items),
        found_is_exact=False,
        took_ms={"total": result.took_ms} if result.took_ms else {},
        error=None if result.error is None else QueryError(code=UNNAMED, message=result.error),
        **_shared(result, Result, "items", "took_ms", "error", "schema"),
    )


def _shared(source: msgspec.Struct, kind: type[msgspec.Struct], *but: str) -> dict[str, Any]:
    """The fields that two structs have in common, as one of them has them."""
    names = set(source.__struct_fields__) & set(kind.__struct_fields__) - {"schema", *but}
    return {name: getattr(source, name) for name in names}


_PLAIN = Query(query_id="plain", text="plain")
