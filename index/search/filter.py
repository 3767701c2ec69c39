"""Filters: which products a query may find, as text and as a tree.

The grammar (EBNF; white space is free between tokens):

    filter     = all, { "||", all } ;
    all        = term, { "&&", term } ;
    term       = "(", filter, ")" | comparison ;
    comparison = field, ":=", ( value | list )              is the value, or one of them
               | field, ":!=", ( value | list )             is not, or none of them
               | field, ( ":>" | ":>=" | ":<" | ":<=" ), number
               | field, ":[", number, "..", number, "]" ;   both ends included
    list       = "[", value, { ",", value }, "]" ;
    field      = "category" | "price" | "currency" | "in_stock" | "product_id"
               | "attributes.", ( name | quoted ) ;
    value      = bare | quoted ;
    quoted     = "`", { any character, and two back-ticks for one }, "`" ;

A bare value ends before `&&`, `||`, a comma, a bracket, a parenthesis or a back-tick, and may hold
spaces: `category:=Oat milk`. A bare name ends before a colon.

What a comparison means:

- Text is compared character by character: case counts.
- Types differ: for an attribute a bare `10` is the number and a bare `true` the boolean, and
  everything quoted is text, so that `10` in back-ticks is the text "10". Neither equals the other.
  Numbers are compared as 64-bit floats. `product_id`, `currency` and `category` are always text.
- A value names a category by one node, anywhere on its path, or by the path from the root down to
  the node, joined with " > ". Both match the node's whole subtree.
- Of a missing value only `:!=` holds: it is exactly what `:=` is not. So it also holds for a value
  of another type, and no other comparison does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias

from index.errors import FilterError

MAX_LENGTH = 4000
"""Characters of a filter."""
MAX_DEPTH = 16
"""Parentheses inside each other."""
MAX_COMPARISONS = 100
MAX_VALUES = 200
"""Values in one list."""

SHOWN = 40
"""Characters of an unknown name that an error repeats."""

TEXT_FIELDS = ("category", "currency", "product_id")
FIELDS = ("category", "price", "currency", "in_stock", "product_id", "attributes.NAME")
PATH = " > "
"""Between the nodes of a category's path."""

Value: TypeAlias = str | float | bool
Order: TypeAlias = Literal[">", ">=", "<", "<="]
_ATTRIBUTES = "attributes."
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_BARE = re.compile(r"(?:(?!&&|\|\||\.\.)[^,()\[\]`])*")
_BARE_WITH_DOTS = re.compile(r"(?:(?!&&|\|\|)[^,()\[\]`])*")
_NAME = re.compile(r"(?:(?!&&|\|\|)[^:,()\[\]`])*")
_QUOTED = re.compile(r"`((?:[^`]|``)*)`")
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class Field:
    """A field of a product: `name`, or an attribute of that name."""

    name: str
    attribute: bool = False

    def __str__(self) -> str:
        return f"{_ATTRIBUTES}{self.name}" if self.attribute else self.name


@dataclass(frozen=True)
class OneOf:
    """The field's value is one of these; negated: it is missing, or none of them."""

    field: Field
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True)
class Between:
    """The field's value is a number from `low` to `high`, the ends included or not."""

    field: Field
    low: float = -math.inf
    high: float = math.inf
    with_low: bool = True
    with_high: bool = True


@dataclass(frozen=True)
class AllOf:
    """Every part holds."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Filter, ...]


Filter: TypeAlias = OneOf | Between | AllOf | AnyOf


def parse_filter(text: str) -> Filter | None:
    """The tree of a filter; None of one that is blank, which every product passes.

    Raises:
        FilterError: it cannot be read; the error has the position and the field.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"it has {len(text)} characters; at most {MAX_LENGTH} are allowed")
    if not text.strip():
        return None
    parser = Parser(text)
    tree = parser.any_of(depth=0)
    parser.end()
    return tree


def quoted(value: Value) -> str:
    """A value as it is written in a filter so that nothing else equals it."""
    if isinstance(value, str):
        return "`" + value.replace("`", "``") + "`"
    return repr(value).lower()


class Parser:
    """Recursive descent over one text; also reads the fields and numbers of facets."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._comparisons = 0
        self._field: Field | None = None

    def any_of(self, depth: int) -> Filter:
        """`filter` of the grammar."""
        parts = [self._all_of(depth)]
        while self.take("||"):
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all_of(self, depth: int) -> Filter:
        parts = [self._term(depth)]
        while self.take("&&"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _term(self, depth: int) -> Filter:
        start = self._at
        if not self.take("("):
            return self._comparison()
        if depth == MAX_DEPTH:
            self.fail(f"at most {MAX_DEPTH} parentheses may be inside each other", start)
        inside = self.any_of(depth + 1)
        if not self.take(")"):
            self.fail("expected `)`, `&&` or `||`")
        return inside

    def _comparison(self) -> Filter:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            self.fail(f"at most {MAX_COMPARISONS} comparisons are allowed")
        field = self._field = self.field()
        operator_at = self._at
        if not self.take(":"):
            self.fail("expected `:=`, `:!=`, `:>`, `:>=`, `:<`, `:<=` or `:[` after the field")
        comparison = self._after_colon(field, operator_at)
        self._field = None
        return comparison

    def _after_colon(self, field: Field, operator_at: int) -> Filter:
        if self.take("!="):
            return OneOf(field, self._values(field), negated=True)
        if self.take("="):
            return OneOf(field, self._values(field))
        for sign in (">=", "<=", ">", "<", "["):
            if not self.take(sign):
                continue
            if field.name in (*TEXT_FIELDS, "in_stock") and not field.attribute:
                kind = "true or false" if field.name == "in_stock" else "text"
                self.fail(f"`{field}` is {kind} and takes `:=` and `:!=` only", operator_at)
            if sign == "[":
                low = self.number(_BARE)
                if not self.take(".."):
                    self.fail("expected `..` and the upper end of the range")
                high = self.number(_BARE)
                if not self.take("]"):
                    self.fail("expected `]` after the range")
                return Between(field, low, high)
            end = self.number(_BARE_WITH_DOTS)
            if sign[0] == ">":
                return Between(field, low=end, with_low=sign == ">=")
            return Between(field, high=end, with_high=sign == "<=")
        return self.fail("expected `=`, `!=`, `>`, `>=`, `<`, `<=` or `[` after the colon")

    def field(self) -> Field:
        """`field` of the grammar."""
        self._skip()
        start = self._at
        name = self._match(_NAME).rstrip()
        self._at = start + len(name)
        if name.startswith(_ATTRIBUTES):
            attribute = name.removeprefix(_ATTRIBUTES)
            if not attribute:
                attribute = self._quoted() or ""
            if not attribute:
                self.fail("expected the name of an attribute after `attributes.`", start)
            return Field(attribute, attribute=True)
        if name in FIELDS:
            return Field(name)
        if not name:
            self.fail(f"expected a field: {', '.join(FIELDS)}", start)
        shown = name if len(name) <= SHOWN else name[:SHOWN] + "…"
        return self.fail(
            f"there is no field `{shown}`: fields are {', '.join(FIELDS)} "
            f"(an attribute is written attributes.{shown})",
            start,
        )

    def _values(self, field: Field) -> tuple[Value, ...]:
        if not self.take("["):
            return (self._value(field),)
        values = [self._value(field)]
        while self.take(","):
            if len(values) == MAX_VALUES:
                self.fail(f"at most {MAX_VALUES} values are allowed in a list")
            values.append(self._value(field))
        if not self.take("]"):
            self.fail("expected `,` or `]`")
        return tuple(values)

    def _value(self, field: Field) -> Value:
        self._skip()
        start = self._at
        text = self._quoted()
        if field.attribute:
            return self._bare(_BARE_WITH_DOTS) if text is None else text
        if field.name in TEXT_FIELDS:
            return self._bare_text(_BARE_WITH_DOTS) if text is None else text
        value = self._bare(_BARE_WITH_DOTS) if text is None else text
        if field.name == "in_stock" and not isinstance(value, bool):
            self.fail("`in_stock` is true or false", start)
        if field.name == "price" and (isinstance(value, bool) or not isinstance(value, float)):
            self.fail("`price` is a number", start)
        return value

    def number(self, pattern: re.Pattern[str] = _BARE) -> float:
        """A number; where there is none, or something after it, an error."""
        self._skip()
        start = self._at
        value = self._bare(pattern)
        if isinstance(value, bool) or not isinstance(value, float):
            self.fail(f"expected a number, not `{value}`", start)
        return value

    def _bare(self, pattern: re.Pattern[str]) -> Value:
        """A bare value: a number or a boolean where it reads as one."""
        start = self._at
        text = self._bare_text(pattern)
        if text in ("true", "false"):
            return text == "true"
        if not _NUMBER.fullmatch(text):
            return text
        number = float(text)
        if not math.isfinite(number):
            self.fail("the number is out of range", start)
        return number

    def _bare_text(self, pattern: re.Pattern[str]) -> str:
        start = self._at
        text = self._match(pattern).rstrip()
        if not text:
            self.fail("expected a value; one with odd characters goes into back-ticks", start)
        self._at = start + len(text)
        return text

    def _quoted(self) -> str | None:
        """A text in back-ticks; None where there is none."""
        start = self._at
        if not self._text.startswith("`", start):
            return None
        found = _QUOTED.match(self._text, start)
        if found is None:
            self.fail("the back-tick is never closed", start)
        self._at = found.end()
        return found[1].replace("``", "`")

    def take(self, token: str) -> bool:
        """Step over a token, if it comes next."""
        self._skip()
        if not self._text.startswith(token, self._at):
            return False
        self._at += len(token)
        return True

    def end(self) -> None:
        """Raise FilterError unless everything was read."""
        self._skip()
        if self._at < len(self._text):
            self.fail(
                "expected `&&`, `||` or the end; a value with odd characters goes into back-ticks"
            )

    def fail(self, what: str, at: int | None = None) -> NoReturn:
        """Raise FilterError at a position, by default where the parser is."""
        position = self._at if at is None else at
        field = str(self._field) if self._field else None
        raise FilterError(what, text=self._text, position=position, field=field)

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found is not None  # noqa: S101 - every pattern matches nothing, too
        self._at = found.end()
        return found[0]

    def _skip(self) -> None:
        self._match(_SPACE)
