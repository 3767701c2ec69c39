"""The expressions of a mapping: what they give, and where they are wrong."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalog.sources.evaluate import UNAVAILABLE, Scope, evaluate, holds
from models.catalog.sources.expression import MAX_DEPTH, MAX_LENGTH, parse_expression
from models.errors import CatalogError, MappingError

ROW: dict[str, Any] = {
    "sku": "a7",
    "price": "12.50",
    "stock": 3,
    "path": "Food > Milk>",
    "img": "x.png",
    "pics": ["a.jpg", None, "b.jpg"],
    "specs": '{"size": {"w": 2}}',
    "Variant Price": 5,
    "published": "yes",
    "hidden": None,
    "large": UNAVAILABLE,
    "status": "maybe",
}
SCOPE = Scope(ROW, {"source": {"lsn": 9}, "key": {"id": 7}}, closed=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sku", "a7"),
        ("'it''s'", "it's"),
        ("-2.5", -2.5),
        ("source.lsn", 9),
        ("key.id", 7),
        ("specs.size.w", 2),
        ("json(specs)", {"size": {"w": 2}}),
        ('"Variant Price"', 5),
        ("`Variant Price`", 5),
        ("split(path, '>')", ["Food", "Milk"]),
        ("split(hidden, '>')", None),
        ("concat('https://cdn.example/', img)", "https://cdn.example/x.png"),
        ("concat('https://cdn.example/', hidden)", None),
        ("concat('c/', split('a,b', ','))", ["c/a", "c/b"]),
        ("coalesce(hidden, '', sku)", "a7"),
        ("stock > 0", True),
        ("price >= 12.5 and not hidden", True),
        ("stock = '3'", True),
        ("status in ('maybe', 'no')", True),
        ("status NOT IN ('maybe')", False),
        ("hidden in ('x')", None),
        ("hidden is null or status = 1", True),
        ("large is not null", True),
        ("(stock = 1 or stock = 3) and published", True),
        ("published = true", True),
        ("hidden > 3", None),
        ("large", UNAVAILABLE),
        ("concat('a', large)", UNAVAILABLE),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert evaluate(parse_expression(text), SCOPE) == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected a column, a number, a 'text' or a function at character 1, and the end"),
        ("Variant Price", 'a name with blanks is written in double quotes: "Variant Price"'),
        ("split(path)", "split takes 2 values, and has 1"),
        ("eval(path)", "there is no function eval; there are split, concat, coalesce, json"),
        ("a = ", "at character 4, and the end is there"),
        ("a is maybe", "expected null at character 6"),
        ("(a", r"expected \) at character 3"),
        ("'open", "a text that does not end"),
        ("a + b", r"'\+' is no part of an expression at character 3"),
        ("a not b", "expected in at character 7"),
        ("x" * (MAX_LENGTH + 1), f"over {MAX_LENGTH} characters"),
        ("(" * (MAX_DEPTH + 1) + "a", "nested more than"),
        ("not " * (MAX_DEPTH + 1) + "a", "nested more than"),
    ],
)
def test_what_is_no_expression_says_where(text: str, complaint: str) -> None:
    with pytest.raises(MappingError, match=complaint):
        parse_expression(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nothing", "there is no column `nothing`; there are `sku`, `price`"),
        ("status", "`status` is 'maybe', which is neither true nor false: compare it"),
        ("large", "is not in the record, because it is large and did not change"),
        ("large = 'x'", "REPLICA IDENTITY FULL"),
        ("stock > sku", "cannot be compared"),
        ("json(sku)", "'a7' is no JSON"),
        ("concat(split('a,b', ','), split('c', ','))", "one list at most"),
        ("split(sku, '')", "needs a separator"),
    ],
)
def test_what_cannot_be_evaluated_says_why(text: str, complaint: str) -> None:
    with pytest.raises(CatalogError, match=complaint):
        holds(parse_expression(text), SCOPE)


def test_a_column_that_open_rows_lack_is_null() -> None:
    assert evaluate(parse_expression("nothing.at.all"), Scope({})) is None


@given(st.text(alphabet="ab ()'\",.<>=!1and or not is null in split", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        expression = parse_expression(text)
    except MappingError:
        return
    try:
        evaluate(expression, Scope({"a": "1", "b": None, "d": [1]}))
    except CatalogError:
        return
