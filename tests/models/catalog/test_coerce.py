"""What has one meaning is coerced, what may have two is refused, what is strict stays as it is."""

import copy
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalog.coerce import coerce_event, coerce_photo
from models.catalog.coercion import MAX_DESCRIPTION, Coercion
from models.errors import CatalogError
from tests.doubles.messy_rows import json_values, messy_rows, strict_rows

K = Coercion


@pytest.mark.parametrize(
    ("field", "value", "becomes", "kinds"),
    [
        ("product_id", 7, "7", {K.ID_NUMBER}),
        ("product_id", 7.0, "7", {K.ID_NUMBER}),
        ("product_id", " 7\u00a0", "7", {K.ID_BLANKS}),
        ("title", 501, "501", {K.NUMBER_AS_TEXT}),
        ("title", None, "", {K.NULL_AS_EMPTY}),
        ("title", "<b>Oat</b> milk &amp; more", "Oat milk & more", {K.HTML}),
        ("title", "&lt;b&gt;Oat&lt;/b&gt;", "Oat", {K.HTML}),
        ("title", "size<b and x>3, AT&T", "size<b and x>3, AT&T", set()),
        ("description", "<p>One</p><p>Two</p><script>x()</script>", "One Two", {K.HTML}),
        ("category", "Milk", ["Milk"], {K.ONE_AS_LIST}),
        ("category", "Food &gt; Milk", ["Food", "Milk"], {K.HTML, K.CATEGORY_PATH}),
        ("category", ["Food", None, 7], ["Food", "7"], {K.EMPTY_ELEMENT, K.NUMBER_AS_TEXT}),
        ("category", None, [], {K.NULL_AS_EMPTY}),
        ("image", "", None, {K.EMPTY_AS_NULL}),
        ("images", "a.png", ["a.png"], {K.ONE_AS_LIST}),
        ("images", None, [], {K.NULL_AS_EMPTY}),
        ("images", ["a.png", "", None], ["a.png"], {K.EMPTY_ELEMENT}),
        ("price", "12.50", 12.5, {K.TEXT_AS_NUMBER}),
        ("price", "12,50", 12.5, {K.TEXT_AS_NUMBER, K.DECIMAL_COMMA}),
        ("price", "", None, {K.EMPTY_AS_NULL}),
        ("price", 12, 12, set()),
        ("in_stock", "Yes", True, {K.TEXT_AS_BOOLEAN}),
        ("in_stock", "out of stock", False, {K.TEXT_AS_BOOLEAN}),
        ("in_stock", 1, True, {K.TEXT_AS_BOOLEAN}),
        ("in_stock", "0", False, {K.TEXT_AS_BOOLEAN}),
        ("in_stock", "", None, {K.EMPTY_AS_NULL}),
        ("attributes", [], {}, {K.EMPTY_AS_NULL}),
        ("attributes", {"a": None, "b": 1}, {"b": 1}, {K.ATTRIBUTE_NULL}),
        ("attributes", {"a": ["x", 2, True]}, {"a": "x, 2, true"}, {K.ATTRIBUTE_LIST}),
        ("attributes", {"a": {"w": 1}}, {"a": '{"w":1}'}, {K.ATTRIBUTE_OBJECT}),
        ("version", "3", 3, {K.TEXT_AS_NUMBER}),
        ("version", "", None, {K.EMPTY_AS_NULL}),
        ("event_time", "1795645930000", 1795645930000, {K.TEXT_AS_NUMBER}),
    ],
)
def test_what_has_one_meaning_is_coerced(
    field: str, value: Any, becomes: Any, kinds: set[Coercion]
) -> None:
    coerced = coerce_event({"product_id": "p", field: value})
    assert coerced.fields[field] == becomes
    assert type(coerced.fields[field]) is type(becomes)
    assert set(coerced.kinds) == kinds


@pytest.mark.parametrize(
    ("row", "becomes"),
    [
        ({"price": "12.50 EUR"}, {"price": 12.5, "currency": "EUR"}),
        ({"price": "1 299,00 €"}, {"price": 1299.0, "currency": "EUR"}),
        ({"price": "EUR 5", "currency": "eur"}, {"price": 5.0, "currency": "eur"}),
        ({"price": "$5", "currency": "USD"}, {"price": 5.0, "currency": "USD"}),
        ({"price": "$5.00 USD"}, {"price": 5.0, "currency": "USD"}),
        ({"price": "12 kr", "currency": "SEK"}, {"price": 12.0, "currency": "SEK"}),
        ({"image": ["a", "b"], "images": ["c"]}, {"image": "a", "images": ["b", "c"]}),
        ({"image": []}, {"image": None}),
        ({"brand": "X", "size": None}, {"attributes": {"brand": "X"}}),
        ({"brand": "X", "attributes": None}, {"attributes": {"brand": "X"}}),
        ({"brand": "X", "attributes": {"a": 1}}, {"attributes": {"a": 1, "brand": "X"}}),
        ({"brand": "X", "attributes": {"brand": "X"}}, {"attributes": {"brand": "X"}}),
        ({"size": None}, {}),
    ],
)
def test_fields_that_belong_together(row: dict[str, Any], becomes: dict[str, Any]) -> None:
    coerced = coerce_event({"product_id": "p", **row})
    assert coerced.fields == {"product_id": "p", **becomes}
    assert coerced.kinds


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"price": "1.299"}, "field `price`, '1.299', may be thousands or decimals: write the"),
        ({"price": "12.50 USD", "currency": "EUR"}, "names another currency than `currency`"),
        ({"price": "$5"}, "has a sign of several currencies (USD, CAD, AUD, …)"),
        ({"price": "on request"}, "field `price`, 'on request', is no price: write the number"),
        ({"price": "-5"}, "is no price"),
        ({"price": "5 € - 7 €"}, "is no price"),
        ({"in_stock": "maybe"}, "field `in_stock` is 'maybe': write true or false"),
        ({"in_stock": 17}, "field `in_stock` is '17': write true or false"),
        ({"brand": "X", "attributes": {"brand": "Y"}}, "has another value under its name"),
    ],
)
def test_what_may_mean_two_things_is_refused(row: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CatalogError) as refused:
        coerce_event({"product_id": "p", **row})
    assert complaint in str(refused.value)


def test_a_description_of_72_kb_is_cut_and_its_title_is_not() -> None:
    coerced = coerce_event(
        {"product_id": "p", "title": "t" * 9000, "description": "word " * 14_400}
    )
    assert len(coerced.fields["description"]) == MAX_DESCRIPTION
    assert len(coerced.fields["title"]) == 9000
    assert coerced.kinds == (K.DESCRIPTION_CUT,)


def test_a_patch_keeps_no_unknown_field_and_a_delete_neither() -> None:
    """For a patch they would replace all other attributes; both stay for the decoder to refuse."""
    for kind in ("patch", "delete"):
        event = {"type": kind, "product_id": 7, "brand": "X"}
        assert coerce_event(event).fields == {**event, "product_id": "7"}
    patch = coerce_event({"type": "patch", "product_id": "p", "price": "1,50", "in_stock": "no"})
    assert (patch.fields["price"], patch.fields["in_stock"]) == (1.5, False)


def test_photos_are_coerced_alike() -> None:
    photo = {"image": "a.png", "product_id": 7, "category": "Food > Milk", "text": 12, "split": ""}
    assert coerce_photo(photo).fields == {
        "image": "a.png",
        "product_id": "7",
        "category": ["Food", "Milk"],
        "text": "12",
        "split": None,
    }


@given(strict_rows)
def test_a_strict_row_is_left_as_it_is(row: dict[str, Any]) -> None:
    before = copy.deepcopy(row)
    coerced = coerce_event(row)
    assert (coerced.fields, coerced.kinds) == (before, ())


@given(messy_rows)
def test_a_coerced_row_is_strict(row: dict[str, Any]) -> None:
    """Coercing it again changes nothing; and the row that came in is not changed."""
    before = copy.deepcopy(row)
    with suppress(CatalogError):
        coerced = coerce_event(row)
        again = coerce_event(coerced.fields)
        assert again.fields == coerced.fields
        assert again.kinds == ()
    assert row == before


@given(
    st.dictionaries(st.sampled_from(["price", "in_stock", "category", "x", "type"]), json_values)
)
def test_any_row_is_coerced_or_refused(row: dict[str, Any]) -> None:
    with suppress(CatalogError):
        msgspec.json.encode(coerce_event(row).fields)


def test_every_kind_says_what_it_means() -> None:
    assert all(kind.meaning for kind in Coercion)
