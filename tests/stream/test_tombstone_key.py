"""The key of a tombstone: every common form names its product, any other is refused and shown."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import DecodeError
from stream.tombstone_key import tombstone_product

ids = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=128).filter(
    str.strip
)
PLAIN = ids.filter(
    lambda one: one.lstrip()[0] not in '{["' and one not in ("true", "false", "null")
)
SCHEMA = {"type": "string", "optional": False}


@given(PLAIN)
def test_plain_text_is_the_id(product_id: str) -> None:
    assert tombstone_product(product_id.encode()) == product_id


@given(ids, st.booleans(), st.booleans())
def test_json_forms_name_the_same_product(
    product_id: str, ascii_only: bool, envelope: bool
) -> None:
    """A string, and each name of the column, alone or in the envelope of Kafka Connect."""
    for form in (product_id, {"product_id": product_id}, {"id": product_id}):
        value = {"schema": SCHEMA, "payload": form} if envelope else form
        key = json.dumps(value, ensure_ascii=ascii_only, indent=1 if envelope else None)
        assert tombstone_product(key.encode()) == product_id


@given(st.integers())
def test_a_number_is_the_id_in_digits(number: int) -> None:
    for form in (number, {"product_id": number}, {"id": number}, {"schema": {}, "payload": number}):
        assert tombstone_product(json.dumps(form).encode()) == str(number)


@pytest.mark.parametrize("key", ["7.50", "1e5", "007", "[A-1] chair", 'a"b', "NULL", "-7"])
def test_ids_that_look_a_little_like_json_are_plain_text(key: str) -> None:
    assert tombstone_product(key.encode()) == key


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"  ",
        b"\xff\xfe7",
        b'{"product_id": ',
        b'"half',
        b'"half a pair \\ud83d"',
        b"null",
        b"true",
        b"[7]",
        b'["7"]',
        b"{}",
        b'{"sku": "7"}',
        b'{"product_id": "7", "shop": 3}',
        b'{"product_id": null}',
        b'{"product_id": 7.5}',
        b'{"id": ["7"]}',
        b'{"schema": null, "payload": null}',
        b'{"schema": {}, "payload": {"sku": "7"}}',
        b"{" * 100_000,
    ],
)
def test_any_other_form_is_refused_and_shown(key: bytes) -> None:
    with pytest.raises(DecodeError, match="the key of this tombstone") as refused:
        tombstone_product(key)
    assert repr(key[:20])[2:-1] in str(refused.value)
    assert "event of type 'delete'" in str(refused.value)


@given(st.binary(max_size=40))
def test_any_key_names_a_product_or_is_refused(key: bytes) -> None:
    with suppress(DecodeError):
        tombstone_product(key).encode()
