"""Readers of schema 1 get what they always got; readers of schema 2 understand both."""

from __future__ import annotations

import msgspec
import orjson
import pytest

from stream.codec import encode
from stream.errors import DecodeError
from stream.messages import Query, QueryError, Result, ResultItem
from stream.schema_1 import (
    decode_result,
    encode_result,
    schema_of,
    schema_of_unreadable,
)

ITEM = ResultItem(
    product_id="7", item_id="7#0", probability=0.9, level=0, position=1, price=2.0, also_seen=3
)
RESULT = Result(
    query_id="q",
    items=(ITEM,),
    found=30,
    no_match_probability=0.1,
    retrieved=("7",),
    model_id="m",
    generation="g",
    took_ms={"total": 12.5, "rerank": 1.0},
)


def test_a_result_of_schema_1_has_the_fields_that_it_always_had() -> None:
    sent = orjson.loads(encode_result(msgspec.structs.replace(RESULT, schema=1)))
    assert sent == {
        "type": "result",
        "query_id": "q",
        "items": [
            {
                "product_id": "7",
                "item_id": "7#0",
                "score": 0.9,
                "level": 0,
                "position": 1,
                "price": 2.0,
            }
        ],
        "retrieved": ["7"],
        "model_id": "m",
        "took_ms": 12.5,
    }
    error = QueryError(code="invalid_filter", message="what to do", field="filter")
    failed = Result(schema=1, query_id="q", error=error)
    assert orjson.loads(encode_result(failed))["error"] == "what to do"


def test_what_a_newer_worker_adds_is_left_alone() -> None:
    sent = orjson.loads(encode_result(RESULT))
    sent["items"][0]["novelty"] = sent["novelty"] = 1
    assert decode_result(orjson.dumps(sent)) == RESULT


def test_a_result_of_schema_2_says_so_and_comes_back() -> None:
    assert orjson.loads(encode_result(RESULT))["schema"] == 2
    assert decode_result(encode_result(RESULT)) == RESULT


def test_the_answer_of_an_older_worker_is_understood() -> None:
    older = msgspec.structs.replace(RESULT, schema=1)
    assert decode_result(encode_result(older)) == Result(
        query_id="q",
        items=(msgspec.structs.replace(ITEM, also_seen=0),),
        found=1,
        found_is_exact=False,
        retrieved=("7",),
        model_id="m",
        took_ms={"total": 12.5},
    )
    said = b'{"type":"result","query_id":"q","error":"field `schema` is 2"}'
    assert decode_result(said).error == QueryError(code="unnamed", message="field `schema` is 2")
    with pytest.raises(DecodeError, match="this reader knows schema 1 and 2"):
        decode_result(b'{"type":"result","query_id":"q","schema":3}')


@pytest.mark.parametrize(
    ("fields", "schema"),
    [
        ({}, 1),
        ({"top": 3}, 1),
        ({"schema": 2}, 2),
        ({"filter": "price:<5"}, 2),
        ({"page": 2}, 2),
        ({"group": "none"}, 2),
    ],
)
def test_a_query_is_answered_in_its_schema(fields: dict[str, object], schema: int) -> None:
    query = msgspec.convert({"type": "query", "query_id": "q", "text": "mug", **fields}, Query)
    assert schema_of(query) == schema
    assert schema_of_unreadable(encode(query)) == schema


@pytest.mark.parametrize("data", [None, b"", b"no JSON", b"[2]", b'{"schema": "2"'])
def test_what_is_no_query_is_answered_in_schema_1(data: bytes | None) -> None:
    assert schema_of_unreadable(data) == 1
