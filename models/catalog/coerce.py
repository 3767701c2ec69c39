"""What a first export is like, made into what an event must be, where that has one meaning.

Real exports have ids that are numbers, prices that are texts, "yes" for true, columns of their own
and markup in their titles. `coerce_event` turns such a JSON object into a strict one and says what
kinds of change that took; what may mean two things is refused with a sentence. It is a pure
function that both readers of a catalog folder and the ingest worker share, so that they accept the
same, and applying it to its own outcome changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from models.catalog.coercion import MAX_DESCRIPTION, Coercion
from models.catalog.html_text import strip_html
from models.catalog.json_object import printable
from models.catalog.price_text import parse_price
from models.errors import CatalogError

MAX_MARKUP = 100_000
"""Characters of a text in which markup is looked for."""

OFFER = ("price", "currency", "in_stock", "attributes")
ENVELOPE = ("type", "schema", "event_time", "product_id", "version")
CONTENT = ("title", "description", "category", "image", "images")
PRODUCT = (*ENVELOPE, *CONTENT, *OFFER)

YES = frozenset({"true", "yes", "y", "t", "1", "in stock", "in_stock", "instock"})
NO = frozenset({"false", "no", "n", "f", "0", "out of stock", "out_of_stock", "outofstock"})


@dataclass(frozen=True)
class Coerced:
    """A strict object, and the kinds of change that made it so, sorted."""

    fields: dict[str, Any]
    kinds: tuple[Coercion, ...] = ()


def coerce_event(fields: Mapping[str, Any]) -> Coerced:
    """A catalog event, or a row of products.jsonl, with all that has one meaning made strict.

    Values that are neither strict nor coercible are left for the decoder to refuse, which knows the
    types; its sentence says what is expected.

    Raises:
        CatalogError: a value may mean two things; the sentence names the field.
    """
    return _Coercing(dict(fields)).event()


def coerce_photo(fields: Mapping[str, Any]) -> Coerced:
    """The same for a row of photos.jsonl; fields that photos do not have are left alone."""
    return _Coercing(dict(fields)).photo()


class _Coercing:
    """One object while it is coerced."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self._kinds: set[Coercion] = set()

    def event(self) -> Coerced:
        kind = self._fields.get("type", "upsert")
        self._each(self._id, "product_id")
        self._each(self._whole_number, "version", "event_time")
        if kind == "upsert":
            self._pictures()
            self._each(self._text, "title", "description")
            self._each(self._path, "category")
            self._description()
        if kind in ("upsert", "patch"):
            self._price()
            self._each(self._optional_text, "currency")
            self._each(self._boolean, "in_stock")
            self._each(self._attributes, "attributes")
        if kind == "upsert":  # a patch would replace the other attributes
            self._unknown_fields()
        return self._done()

    def photo(self) -> Coerced:
        self._each(self._id, "product_id")
        self._each(self._path, "category")
        self._each(self._optional_text, "text", "split")
        return self._done()

    def _done(self) -> Coerced:
        return Coerced(self._fields, tuple(sorted(self._kinds)))

    def _each(self, coerce: Callable[[str, Any], Any], *names: str) -> None:
        for name in names:
            if name in self._fields:
                self._fields[name] = coerce(name, self._fields[name])

    def _as(self, kind: Coercion, value: Any) -> Any:
        self._kinds.add(kind)
        return value

    def _id(self, _name: str, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return self._as(Coercion.ID_NUMBER, str(value))
        if _is_whole(value):  # a table with gaps made a float of it
            return self._as(Coercion.ID_NUMBER, str(int(value)))
        if isinstance(value, str) and value != value.strip():
            return self._as(Coercion.ID_BLANKS, value.strip())
        return value

    def _whole_number(self, _name: str, value: Any) -> Any:
        """Versions and times."""
        if _is_whole(value):
            return int(value)  # 3.0 is 3 in JSON
        if isinstance(value, str) and (digits := value.strip()).isascii() and digits.isdigit():
            return self._as(Coercion.TEXT_AS_NUMBER, int(digits)) if len(digits) < 20 else value
        return self._empty_as_null(value)

    def _text(self, _name: str, value: Any) -> Any:
        if value is None:
            return self._as(Coercion.NULL_AS_EMPTY, "")
        if _is_number(value):
            return self._as(Coercion.NUMBER_AS_TEXT, json.dumps(value))
        return self._plain(value)

    def _optional_text(self, _name: str, value: Any) -> Any:
        if _is_number(value):
            return self._as(Coercion.NUMBER_AS_TEXT, json.dumps(value))
        return self._empty_as_null(value)

    def _plain(self, value: Any) -> Any:
        """A text without markup; anything else as it is."""
        if not isinstance(value, str) or len(value) > MAX_MARKUP:
            return value
        plain = strip_html(value)
        return value if plain == value else self._as(Coercion.HTML, plain)

    def _empty_as_null(self, value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            return self._as(Coercion.EMPTY_AS_NULL, None)
        return value

    def _description(self) -> None:
        text = self._fields.get("description")
        if isinstance(text, str) and len(text) > MAX_DESCRIPTION:
            cut = self._plain(text[:MAX_MARKUP])[:MAX_DESCRIPTION]
            self._fields["description"] = self._as(Coercion.DESCRIPTION_CUT, cut)

    def _path(self, _name: str, value: Any) -> Any:
        if value is None:
            return self._as(Coercion.NULL_AS_EMPTY, [])
        if _is_number(value):
            value = self._as(Coercion.NUMBER_AS_TEXT, json.dumps(value))
        if isinstance(value, str):
            plain = self._plain(value)
            kind = Coercion.CATEGORY_PATH if " > " in plain else Coercion.ONE_AS_LIST
            value = self._as(kind, [part.strip() for part in plain.split(" > ")])
        if not isinstance(value, list):
            return value
        return self._elements([self._text("", one) if one is not None else "" for one in value])

    def _elements(self, values: list[Any]) -> list[Any]:
        kept = [one for one in values if one is not None and one != ""]
        return values if len(kept) == len(values) else self._as(Coercion.EMPTY_ELEMENT, kept)

    def _pictures(self) -> None:
        main, others = self._fields.get("image"), self._fields.get("images")
        if isinstance(others, str):
            others = self._as(Coercion.ONE_AS_LIST, [others])
        if "images" in self._fields and others is None:
            others = self._as(Coercion.NULL_AS_EMPTY, [])
        if isinstance(main, list) and _are_texts(main) and isinstance(others, list | None):
            listed = self._elements(main)
            main = self._as(Coercion.LIST_AS_ONE, listed[0] if listed else None)
            others = [*listed[1:], *(others or [])]
        main = self._empty_as_null(main)
        if isinstance(others, list):
            others = self._elements(others)
        if "image" in self._fields:
            self._fields["image"] = main
        if others or "images" in self._fields:
            self._fields["images"] = others

    def _price(self) -> None:
        price, currency = self._fields.get("price"), self._fields.get("currency")
        if not isinstance(price, str):
            return
        self._fields["price"] = self._empty_as_null(price)
        if self._fields["price"] is None:
            return
        given = currency if isinstance(currency, str) and currency.strip() else None
        try:
            parsed = parse_price(price, given)
        except CatalogError as error:
            raise CatalogError(f"field `price`, {printable(price, 40)!r}, {error}") from error
        self._fields["price"] = self._as(Coercion.TEXT_AS_NUMBER, parsed.price)
        if parsed.decimal_comma:
            self._kinds.add(Coercion.DECIMAL_COMMA)
        if parsed.currency is not None:
            self._kinds.add(Coercion.CURRENCY_IN_PRICE)
            self._fields["currency"] = given or parsed.currency

    def _boolean(self, name: str, value: Any) -> Any:
        if isinstance(value, bool | list | dict):
            return value
        word = value.strip().lower() if isinstance(value, str) else value
        if word in (0, 1) or word in YES or word in NO:
            return self._as(Coercion.TEXT_AS_BOOLEAN, word == 1 or word in YES)
        if isinstance(value, str | int | float) and word != "":
            raise CatalogError(
                f"field `{name}` is {printable(str(value), 40)!r}: write true or false"
            )
        return self._empty_as_null(value)

    def _attributes(self, _name: str, value: Any) -> Any:
        if value in ([], ""):  # how PHP writes an empty table, and CSV an empty cell
            return self._as(Coercion.EMPTY_AS_NULL, {} if value == [] else None)
        if not isinstance(value, dict):
            return value
        coerced = {name: self._attribute(one) for name, one in value.items()}
        return {name: one for name, one in coerced.items() if one is not None}

    def _attribute(self, value: Any) -> Any:
        """An attribute's value, or None to leave it out."""
        match value:
            case None:
                self._kinds.add(Coercion.ATTRIBUTE_NULL)
                return None
            case list() if all(_is_scalar(one) or one is None for one in value):
                parts = [
                    one if isinstance(one, str) else json.dumps(one)
                    for one in value
                    if one is not None
                ]
                kind = Coercion.ATTRIBUTE_LIST if parts else Coercion.ATTRIBUTE_NULL
                return self._as(kind, ", ".join(parts) if parts else None)
            case list() | dict():
                compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
                return self._as(Coercion.ATTRIBUTE_OBJECT, compact)
        return value

    def _unknown_fields(self) -> None:
        unknown = {name: one for name, one in self._fields.items() if name not in PRODUCT}
        attributes = self._fields.get("attributes")
        if not unknown or not isinstance(attributes, dict | None):
            return
        known = dict(attributes or {})
        for name, value in unknown.items():
            del self._fields[name]
            kept = self._attribute(value)
            self._kinds.add(Coercion.UNKNOWN_FIELD)
            if kept is not None and known.setdefault(name, kept) != kept:
                raise CatalogError(
                    f"field `{printable(name)}` is unknown, and `attributes` has another value "
                    "under its name: keep one of them"
                )
        if known:
            self._fields["attributes"] = known


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer() and abs(value) < 2**53


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(one, str | None) for one in values)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)
