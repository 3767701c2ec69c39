"""The kinds of coercion: how a metric, a log line and a summary call them."""

from __future__ import annotations

from enum import StrEnum

MAX_DESCRIPTION = 8000
"""Characters. Nobody but the text encoders reads a stored description, and they read 128 tokens and
the words before some position; with it a row stays below the index's limit of 64 kB."""


class Coercion(StrEnum):
    """The kinds of change; the value is the label of the metric."""

    ID_NUMBER = "id_number"
    ID_BLANKS = "id_blanks"
    NUMBER_AS_TEXT = "number_as_text"
    TEXT_AS_NUMBER = "text_as_number"
    DECIMAL_COMMA = "decimal_comma"
    CURRENCY_IN_PRICE = "currency_in_price"
    TEXT_AS_BOOLEAN = "text_as_boolean"
    EMPTY_AS_NULL = "empty_as_null"
    NULL_AS_EMPTY = "null_as_empty"
    ONE_AS_LIST = "one_as_list"
    LIST_AS_ONE = "list_as_one"
    EMPTY_ELEMENT = "empty_element"
    CATEGORY_PATH = "category_path"
    UNKNOWN_FIELD = "unknown_field"
    ATTRIBUTE_NULL = "attribute_null"
    ATTRIBUTE_LIST = "attribute_list"
    ATTRIBUTE_OBJECT = "attribute_object"
    HTML = "html"
    DESCRIPTION_CUT = "description_cut"
    PICTURE_TRUNCATED = "picture_truncated"

    @property
    def meaning(self) -> str:
        """What was done, for a summary."""
        return _MEANINGS[self]


_MEANINGS = {
    Coercion.ID_NUMBER: "product ids that are numbers, read as text",
    Coercion.ID_BLANKS: "blanks around product ids, removed",
    Coercion.NUMBER_AS_TEXT: "numbers in fields of text, read as text",
    Coercion.TEXT_AS_NUMBER: "prices, versions and times in quotes, read as numbers",
    Coercion.DECIMAL_COMMA: "prices with a decimal comma",
    Coercion.CURRENCY_IN_PRICE: "prices with their currency, moved to `currency`",
    Coercion.TEXT_AS_BOOLEAN: "yes, no, 1, 0 and the like, read as true and false",
    Coercion.EMPTY_AS_NULL: "empty texts where a value is expected, read as null",
    Coercion.NULL_AS_EMPTY: "null in texts and lists, read as empty",
    Coercion.ONE_AS_LIST: "one text where a list is expected, read as a list of one",
    Coercion.LIST_AS_ONE: "a list in `image`, read as the main picture and others",
    Coercion.EMPTY_ELEMENT: "empty elements of lists, left out",
    Coercion.CATEGORY_PATH: "categories in one text (A > B), read as a path",
    Coercion.UNKNOWN_FIELD: "fields that events do not have, kept as attributes",
    Coercion.ATTRIBUTE_NULL: "attributes without a value, left out",
    Coercion.ATTRIBUTE_LIST: "attributes that are lists, joined by commas",
    Coercion.ATTRIBUTE_OBJECT: "attributes that are nested, kept as JSON text",
    Coercion.HTML: "markup in texts, removed",
    Coercion.DESCRIPTION_CUT: f"descriptions cut to {MAX_DESCRIPTION} characters",
    Coercion.PICTURE_TRUNCATED: "JPEG pictures that lack their last bytes, taken as they are",
}
