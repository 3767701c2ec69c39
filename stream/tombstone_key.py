"""Which product a tombstone deletes: its key as Kafka's common producers write it.

A tombstone has no value, so its key alone names the product. It may be

    7                                        the id as plain UTF-8 text
    "7"                                      JSON, as Kafka Connect's JsonConverter writes a string
    {"product_id": "7"}, {"id": 7}           JSON, one column of a table (Debezium)
    {"schema": {...}, "payload": ...}        either of those in the envelope of JsonConverter

Any other form is refused: taken for plain text, it would delete a product that nobody ever named.
"""

import json
from typing import Any

from stream.errors import DecodeError

COLUMNS = ("product_id", "id")
ENVELOPE = {"schema", "payload"}
SHOWN_BYTES = 100


def tombstone_product(key: bytes) -> str:
    """The product id in the key of a tombstone, not yet checked to be a valid id.

    Raises:
        DecodeError: the key has another form; the sentence shows it.
    """
    try:
        text = key.decode()
    except UnicodeDecodeError as error:
        raise _unknown(key, "is not UTF-8") from error
    if not text.strip():
        raise _unknown(key, "is empty")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip()[0] in '{"':
            raise _unknown(key, "begins like JSON and is none") from error
        return text
    if isinstance(value, dict) and value.keys() == ENVELOPE:
        value = value["payload"]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return text  # plain text, an id of digits
    if isinstance(value, dict):
        value = _only_column(key, value)
    if isinstance(value, str):
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise _unknown(key, "holds half of a surrogate pair")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _unknown(key, "names no product")


def _only_column(key: bytes, row: dict[str, Any]) -> Any:
    if len(row) == 1 and (column := next(iter(row))) in COLUMNS:
        return row[column]
    raise _unknown(key, f"has the fields {', '.join(row) or 'none'}")


def _unknown(key: bytes, what: str) -> DecodeError:
    shown = repr(key[:SHOWN_BYTES])[2:-1] + ("…" if len(key) > SHOWN_BYTES else "")
    return DecodeError(
        f"the key of this tombstone {what}: {shown}; expected the product id as text, as a JSON "
        'string, or as {"product_id": …} or {"id": …}. Or send an event of type \'delete\''
    )
