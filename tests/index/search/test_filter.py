"""The grammar of filters and facets, and what an error says of where it is wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.errors import FilterError
from index.search.facets import parse_facet, parse_facets
from index.search.filter import (
    MAX_COMPARISONS,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_VALUES,
    AllOf,
    AnyOf,
    Between,
    Field,
    OneOf,
    Value,
    parse_filter,
    quoted,
)

CATEGORY, PRICE, STOCK = Field("category"), Field("price"), Field("in_stock")
COLOUR = Field("colour", attribute=True)


def test_a_filter_of_everything() -> None:
    text = (
        "category:=[Shoes, Winter boots] && price:[10..50] && "
        "(in_stock:=true || attributes.colour:!=red)"
    )
    assert parse_filter(text) == AllOf(
        (
            OneOf(CATEGORY, ("Shoes", "Winter boots")),
            Between(PRICE, 10, 50),
            AnyOf((OneOf(STOCK, (True,)), OneOf(COLOUR, ("red",), negated=True))),
        )
    )


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("price:>1.5", Between(PRICE, low=1.5, with_low=False)),
        ("price:>=1.5", Between(PRICE, low=1.5)),
        ("price:<-.5", Between(PRICE, high=-0.5, with_high=False)),
        ("price:<=1e3", Between(PRICE, high=1000)),
        ("price :[ 1 .. 2. ] ", Between(PRICE, 1, 2)),
        ("attributes.colour:=10", OneOf(COLOUR, (10.0,))),
        ("attributes.colour:=`10`", OneOf(COLOUR, ("10",))),
        ("attributes.colour:=false", OneOf(COLOUR, (False,))),
        ("attributes.colour:=1..2", OneOf(COLOUR, ("1..2",))),
        ("attributes.colour:=H&M | Co", OneOf(COLOUR, ("H&M | Co",))),
        ("attributes.colour:=`a``b && c`", OneOf(COLOUR, ("a`b && c",))),
        ("attributes.`a:b`:=x", OneOf(Field("a:b", attribute=True), ("x",))),
        ("attributes.a b.c:=x", OneOf(Field("a b.c", attribute=True), ("x",))),
        ("product_id:=10", OneOf(Field("product_id"), ("10",))),
        ("category:=true", OneOf(CATEGORY, ("true",))),
        (" \n", None),
    ],
)
def test_what_a_comparison_is_read_as(text: str, tree: object) -> None:
    assert parse_filter(text) == tree


def test_and_binds_more_than_or() -> None:
    a, b, c = (Between(PRICE, low=n) for n in (1.0, 2.0, 3.0))
    assert parse_filter("price:>=1 || price:>=2 && price:>=3") == AnyOf((a, AllOf((b, c))))


@pytest.mark.parametrize(
    ("text", "position", "field", "words"),
    [
        ("price:>abc", 7, "price", "expected a number, not `abc`"),
        ("price:=`5`", 7, "price", "is a number"),
        ("price:=true", 7, "price", "is a number"),
        ("in_stock:=1", 10, "in_stock", "true or false"),
        ("in_stock:>=true", 8, "in_stock", "takes `:=` and `:!=` only"),
        ("category:>x", 8, "category", "takes `:=` and `:!=` only"),
        ("colour:=red", 0, None, "attributes.colour"),
        ("price=5", 0, None, "there is no field `price=5`"),
        ("price", 5, "price", "expected `:=`"),
        ("price:5", 6, "price", "after the colon"),
        ("price:[1..", 10, "price", "expected a value"),
        ("price:[1,2]", 8, "price", "expected `..`"),
        ("price:[1..2", 11, "price", "expected `]`"),
        ("price:>1e999", 7, "price", "out of range"),
        ("attributes.:=5", 0, None, "the name of an attribute"),
        ("attributes.a:=x, y", 15, None, "back-ticks"),
        ("attributes.a:=[x, y", 19, "attributes.a", "expected `,` or `]`"),
        ("attributes.a:=`x", 14, "attributes.a", "never closed"),
        ("attributes.a:=", 14, "attributes.a", "expected a value"),
        ("(price:>1", 9, None, "expected `)`"),
        ("price:>1)", 8, None, "or the end"),
        ("price:>1 &&", 11, None, "expected a field"),
        ("&& price:>1", 0, None, "expected a field"),
    ],
)
def test_an_error_points_at_the_character(
    text: str, position: int, field: str | None, words: str
) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    error = caught.value
    assert (error.position, error.field) == (position, field)
    said, line, caret = str(error).split("\n")
    assert words in said
    assert f"character {position + 1}" in said
    assert line[caret.index("^") :] == text[position:]


@pytest.mark.parametrize(
    "text",
    [
        "price:>1" + " " * MAX_LENGTH,
        "(" * (MAX_DEPTH + 1) + "price:>1" + ")" * (MAX_DEPTH + 1),
        " && ".join(["price:>1"] * (MAX_COMPARISONS + 1)),
        f"product_id:=[{', '.join(['7'] * (MAX_VALUES + 1))}]",
    ],
)
def test_its_cost_is_bounded(text: str) -> None:
    with pytest.raises(FilterError, match=r"at most \d+"):
        parse_filter(text)


def test_as_much_as_is_allowed_is_read() -> None:
    assert parse_filter("(" * MAX_DEPTH + "price:>1" + ")" * MAX_DEPTH)
    assert parse_filter(" && ".join(["price:>1"] * MAX_COMPARISONS))


@given(st.text(max_size=40) | st.text("price:=`[]().&|! 1", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    position: int | None = 0
    try:
        parse_filter(text)
    except FilterError as error:
        position = error.position
    assert position is None or 0 <= position <= len(text)


@given(st.text(min_size=1) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_quoted_value_is_read_as_itself(value: Value) -> None:
    tree = parse_filter(f"attributes.colour:={quoted(value)}")
    assert isinstance(tree, OneOf)
    assert [(type(one), one) for one in tree.values] == [(type(value), value)]


def test_facets() -> None:
    ranges = parse_facet("price(0, 10, 50)")
    assert (ranges.field, ranges.edges) == (PRICE, (0, 10, 50))
    assert parse_facet("attributes.colour").field == COLOUR
    assert parse_facet(" attributes.`a(b` (1)").field == Field("a(b", attribute=True)
    assert parse_facet("category").edges == ()
    assert math.isclose(parse_facet("attributes.size(-1e3)").edges[0], -1000)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("product_id", "cannot be counted"),
        ("colour", "there is no field"),
        ("category(1)", "no numbers"),
        ("price()", "expected a value"),
        ("price(1", "expected `,`"),
        ("price(2, 1)", "edges go up"),
        ("price(1) x", "or the end"),
        (f"price({', '.join(map(str, range(51)))})", "at most 50"),
    ],
)
def test_a_facet_that_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(FilterError, match=words.replace("(", r"\(").replace("`", ".")):
        parse_facet(text)


def test_there_may_be_twenty_facets() -> None:
    assert len(parse_facets(("price",) * 20)) == 20
    with pytest.raises(FilterError, match="at most 20"):
        parse_facets(("price",) * 21)
