"""The expressions of `[catalog.map]` and `[catalog.when]`: read once, into a tree.

    or          and ("or" and)*
    and         not ("and" not)*
    not         "not" not | comparison
    comparison  value [("=" | "!=" | "<" | "<=" | ">" | ">=") value
                       | "is" ["not"] "null" | ["not"] "in" "(" value ("," value)* ")"]
    value       number | 'text' | true | false | null | path | function "(" or ("," or)* ")"
                | "(" or ")"
    path        name ("." name)*, where a name is a word, or any text in "double quotes" or `these`

A path is a column, or a place inside one; words in capitals are keywords too. Nothing here is
Python, and nothing is evaluated by it. Length and depth are bounded, so that reading and evaluating
are too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn, TypeAlias

from models.errors import MappingError

MAX_LENGTH = 2000
"""Characters of an expression."""
MAX_DEPTH = 30
"""How deeply parentheses, `not` and functions may be nested."""

FUNCTIONS = {"split": (2, 2), "concat": (1, 20), "coalesce": (1, 20), "json": (1, 1)}
"""Their names, with the least and most arguments."""
COMPARISONS = ("=", "!=", "<=", ">=", "<", ">")
KEYWORDS = frozenset({"and", "or", "not", "is", "in", "null", "true", "false"})

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>-?\d+(?:\.\d+)?(?![\w]))
    | (?P<text>'(?:[^']|'')*')
    | (?P<quoted>"[^"]*"|`[^`]*`)
    | (?P<word>[^\W\d][\w:@-]*|\d[\w:@-]*)
    | (?P<sign>!=|<=|>=|[=<>(),.])
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Constant:
    """A number, a text, true, false or null."""

    value: str | int | float | bool | None


@dataclass(frozen=True)
class Path:
    """A column, or a place inside one, by its names."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(frozen=True)
class Call:
    """A function of `FUNCTIONS` and its arguments."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Compare:
    """Two values, and one of `COMPARISONS`."""

    sign: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class IsNull:
    """Whether a value is null."""

    value: Expression


@dataclass(frozen=True)
class In:
    """Whether a value is one of several."""

    value: Expression
    choices: tuple[Expression, ...]


@dataclass(frozen=True)
class Not:
    """The opposite of a condition."""

    condition: Expression


@dataclass(frozen=True)
class Either:
    """`every`: all conditions hold, else at least one."""

    every: bool
    conditions: tuple[Expression, ...]


Expression: TypeAlias = Constant | Path | Call | Compare | IsNull | In | Not | Either


@lru_cache(maxsize=1024)
def parse_expression(text: str) -> Expression:
    """The tree of an expression.

    Raises:
        MappingError: it is none; the sentence shows where, and what was expected.
    """
    if len(text) > MAX_LENGTH:
        raise MappingError(f"the expression has over {MAX_LENGTH} characters: shorten it")
    return _Parser(text).expression()


def paths_of(expression: Expression) -> Iterator[Path]:
    """Every path in an expression, in its order."""
    match expression:
        case Path():
            yield expression
        case Call(_, inside) | Either(_, inside):
            for one in inside:
                yield from paths_of(one)
        case Compare(_, left, right):
            yield from paths_of(left)
            yield from paths_of(right)
        case IsNull(one) | Not(one):
            yield from paths_of(one)
        case In(one, choices):
            for inner in (one, *choices):
                yield from paths_of(inner)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    """A parser by recursive descent; one method a rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._read())
        self._next = 0
        self._depth = 0

    def expression(self) -> Expression:
        found = self._or()
        if self._token.kind != "end":
            hint = ""
            if self._token.kind == "word" and isinstance(found, Path):
                hint = '; a name with blanks is written in double quotes: "Variant Price"'
            self._fail(f"expected the end{hint}")
        return found

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _read(self) -> Iterator[_Token]:
        at, end = 0, len(self._text.rstrip())
        while at < end:
            found = _TOKEN.match(self._text, at)
            if found is None:
                start = at + len(self._text[at:]) - len(self._text[at:].lstrip())
                character = self._text[start]
                what = "a text that does not end" if character in "'\"`" else repr(character)
                raise MappingError(self._at(start, f"{what} is no part of an expression"))
            kind = found.lastgroup or ""
            yield _Token(kind, found[kind], found.start(kind))
            at = found.end()
        yield _Token("end", "", end)

    def _or(self) -> Expression:
        return self._chain("or", self._and, every=False)

    def _and(self) -> Expression:
        return self._chain("and", self._not, every=True)

    def _chain(self, word: str, part: Callable[[], Expression], *, every: bool) -> Expression:
        parts = [part()]
        while self._take_word(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Either(every, tuple(parts))

    def _not(self) -> Expression:
        if not self._take_word("not"):
            return self._comparison()
        with_depth = self._deeper()
        found = Not(self._not())
        self._depth = with_depth
        return found

    def _comparison(self) -> Expression:
        left = self._value()
        if self._token.kind == "sign" and self._token.text in COMPARISONS:
            sign = self._take().text
            return Compare(sign, left, self._value())
        if self._take_word("is"):
            negated = self._take_word("not")
            if not self._take_word("null"):
                self._fail("expected null")
            return Not(IsNull(left)) if negated else IsNull(left)
        negated = self._word_is("not")
        if negated:
            self._take()
        if self._take_word("in"):
            self._expect("(")
            choices = self._list(self._value)
            return Not(In(left, choices)) if negated else In(left, choices)
        if negated:
            self._fail("expected in")
        return left

    def _value(self) -> Expression:
        token = self._token
        if token.kind == "sign" and token.text == "(":
            self._take()
            outside = self._deeper()
            found = self._or()
            self._depth = outside
            self._expect(")")
            return found
        if token.kind == "number":
            self._take()
            return Constant(float(token.text) if "." in token.text else int(token.text))
        if token.kind == "text":
            self._take()
            return Constant(token.text[1:-1].replace("''", "'"))
        if token.kind == "word" and token.text.lower() in ("null", "true", "false"):
            self._take()
            return Constant({"null": None, "true": True, "false": False}[token.text.lower()])
        if token.kind == "quoted" or (token.kind == "word" and token.text.lower() not in KEYWORDS):
            return self._path_or_call()
        self._fail("expected a column, a number, a 'text' or a function")

    def _path_or_call(self) -> Expression:
        first = self._take()
        if first.kind == "word" and self._token.kind == "sign" and self._token.text == "(":
            return self._call(first)
        names = [_name(first)]
        while self._token.kind == "sign" and self._token.text == ".":
            self._take()
            if self._token.kind not in ("word", "quoted"):
                self._fail("expected a name")
            names.append(_name(self._take()))
        return Path(tuple(names))

    def _call(self, name: _Token) -> Expression:
        function = name.text.lower()
        if function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise MappingError(
                self._at(name.at, f"there is no function {name.text}; there are {known}")
            )
        self._take()
        outside = self._deeper()
        arguments = self._list(self._or)
        self._depth = outside
        least, most = FUNCTIONS[function]
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise MappingError(
                self._at(name.at, f"{function} takes {wanted} values, and has {len(arguments)}")
            )
        return Call(function, arguments)

    def _list(self, part: Callable[[], Expression]) -> tuple[Expression, ...]:
        """Values up to the closing parenthesis, which is taken too."""
        found = [part()]
        while self._token.kind == "sign" and self._token.text == ",":
            self._take()
            found.append(part())
        self._expect(")")
        return tuple(found)

    def _deeper(self) -> int:
        """Go one level down; the level before, to come back to."""
        if self._depth == MAX_DEPTH:
            self._fail(f"nested more than {MAX_DEPTH} deep")
        self._depth += 1
        return self._depth - 1

    def _take(self) -> _Token:
        token = self._token
        self._next += token.kind != "end"
        return token

    def _word_is(self, word: str) -> bool:
        return self._token.kind == "word" and self._token.text.lower() == word

    def _take_word(self, word: str) -> bool:
        if found := self._word_is(word):
            self._take()
        return found

    def _expect(self, sign: str) -> None:
        if self._token.kind != "sign" or self._token.text != sign:
            self._fail(f"expected {sign}")
        self._take()

    def _fail(self, what: str) -> NoReturn:
        raise MappingError(self._at(self._token.at, what))

    def _at(self, at: int, what: str) -> str:
        found = f"{self._text[at:][:20]!r}" if at < len(self._text.rstrip()) else "the end"
        return f"{self._text!r}: {what} at character {at + 1}, and {found} is there"


def _name(token: _Token) -> str:
    return token.text[1:-1] if token.kind == "quoted" else token.text
