"""The id of a query is found wherever it can be read, whatever else is wrong with the query."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.messages import Id
from stream.readable_id import readable_id

KEYS = st.sampled_from(["query_id", "text", 'query"id', "query_id\\"]) | st.text(max_size=9)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=140),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def an_id(value: object) -> str | None:
    """The value if it is an id by the rules of messages."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value), type=Id)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.sampled_from([None, 1, "\t"]))
@example({"a": {"query_id": "inner"}, "query_id": "outer"}, None)
@example({"query_id": ["query_id", "x"]}, None)
@example({"text": "\ud83d", "query_id": "é\u2028"}, None)
def test_it_is_that_of_the_outermost_object(
    message: dict[str, Any], indent: int | str | None
) -> None:
    data = json.dumps(message, indent=indent)
    assert readable_id(data.encode()) == an_id(message.get("query_id"))


@pytest.mark.parametrize(
    ("data", "query_id"),
    [
        (b'{"query_id":"a","text":"cut off', "a"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"query_id":"deep"}', "deep"),
        (b'{"x":' + b"9" * 5000 + b',"query_id":"a"}', "a"),
        (b'{"x":"\xff","query_id":"a"}', "a"),
        (b'{"query\\u005fid":"a"}', "a"),
        (b'{"query_id":"a","query_id":"b"}', "b"),
        (b'{"query_id":"a","query_id":7}', None),
        (b'{"query_id":""}', None),
        (b'{"query_id":"\\ud83d"}', None),
        (b'{"query_id":"' + b"a" * 129 + b'"}', None),
        (b'[{"query_id":"a"}]', None),
        (b'"query_id"', None),
        (b"\xff\xd8\xff", None),
        (b"", None),
        (None, None),
    ],
)
def test_what_no_parser_reads(data: bytes | None, query_id: str | None) -> None:
    assert readable_id(data) == query_id


@given(st.binary(max_size=200))
def test_any_bytes_have_an_id_or_none(data: bytes) -> None:
    found = readable_id(data)
    assert found is None or an_id(found) == found
