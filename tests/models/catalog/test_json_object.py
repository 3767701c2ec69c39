"""What every JSON tool reads alike is read; anything else is refused, and the sentence names it."""

import json
import math
import re
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalog.json_object import read_object
from models.errors import CatalogError

letters = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | letters
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(letters, inner, max_size=3),
    max_leaves=8,
)
hostile = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.characters(categories=["Cs"]),  # one alone: two may be a pair
    st.integers(min_value=2**63),
    st.integers(max_value=-(2**63) - 1),
)


@given(st.dictionaries(letters, values, max_size=4), st.booleans())
def test_a_json_object_is_read_as_orjson_reads_it(value: dict[str, Any], mark: bool) -> None:
    data = orjson.dumps(value)
    assert read_object((b"\xef\xbb\xbf" if mark else b"") + data) == orjson.loads(data)


@given(st.dictionaries(letters, values, max_size=3), hostile, st.data())
def test_what_json_cannot_hold_is_refused_wherever_it_is(
    value: dict[str, Any], bad: object, data: st.DataObject
) -> None:
    """However deep; otherwise orjson would refuse it, or write another value."""
    at, path = value, ""
    for _ in range(data.draw(st.integers(0, 3))):
        at["in"] = {}
        at, path = at["in"], f"{path}in."
    at["bad"] = data.draw(st.sampled_from([bad, [1, bad]]))
    name = path + ("bad[1]" if isinstance(at["bad"], list) else "bad")
    with pytest.raises(CatalogError, match=rf"^field `{re.escape(name)}` (is|holds)"):
        read_object(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b'{"price": NaN}', "field `price` is NaN, which JSON does not have: leave the field out"),
        (b'{"a": {"b": [1, 1e999]}}', "field `a.b[1]` is infinite"),
        (b'{"title": "lamp \\ud83d"}', "field `title` holds half of a surrogate pair"),
        (b'{"\\ud83d": 1}', "the name `\\ud83d` holds half of a surrogate pair"),
        (b'{"ean": 99999999999999999999}', "field `ean` is an integer beyond 64 bits: write it"),
        (b'{"ean": ' + b"9" * 5000 + b"}", "the row holds an integer of thousands of digits"),
        (b"[" * 100_000, "the row cannot be read: its JSON is nested too deeply"),
        (b'{"a":' * 990 + b"1" + b"}" * 990, "nested too deeply"),
        (b"{broken", "the row is not JSON: Expecting property name enclosed in double quotes at"),
        (b"", "the row is not JSON"),
        (b"[1]", "the row is an array; expected a JSON object"),
        (b"null", "the row is null; expected a JSON object"),
        ("{}".encode("utf-16"), "the row is not JSON: byte 0 is not UTF-8; save it as UTF-8"),
    ],
)
def test_the_sentence_says_what_to_do(text: bytes, complaint: str) -> None:
    with pytest.raises(CatalogError) as refused:
        read_object(text)
    assert complaint in str(refused.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(CatalogError):
        assert isinstance(read_object(data), dict)
