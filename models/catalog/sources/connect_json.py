"""JSON as Kafka Connect's converters write it, with or without the schema beside the payload.

The schema is needed for decimals (bytes with a scale) and for times in other units. Debezium's
placeholder for a large value that did not change becomes `UNAVAILABLE`, whatever type it stands for
(`unavailable.value.placeholder`, "Reselecting columns" and "toasted values" in Debezium's manual).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from models.catalog.json_object import printable, read_object
from models.catalog.sources.evaluate import UNAVAILABLE
from models.errors import CatalogError

DECIMAL = "org.apache.kafka.connect.data.Decimal"
PLACEHOLDER = "__debezium_unavailable_value"
_PLACEHOLDERS = (PLACEHOLDER, base64.b64encode(PLACEHOLDER.encode()).decode())
_ENVELOPE = {"schema", "payload"}
_TO_MILLISECONDS = {
    "io.debezium.time.MicroTimestamp": 1_000,
    "io.debezium.time.NanoTimestamp": 1_000_000,
}
MAX_SCALE = 100


def read_value(data: bytes) -> Any:
    """The payload in a record's value, a JSON object, decoded by its schema if it has one.

    Raises:
        CatalogError: it is no JSON object.
    """
    return decoded(read_object(data, "the message"))


def read_key(data: bytes | None) -> Any:
    """The payload in a record's key: an object, a scalar, or a text that is no JSON; None without.

    Raises:
        CatalogError: it is not UTF-8, or begins like JSON and is none.
    """
    if not data:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise CatalogError(
            "the record's key is not UTF-8: use a JSON or string converter for keys"
        ) from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip()[:1] in ("{", '"'):
            raise CatalogError(
                f"the record's key begins like JSON and is none: {printable(text)}"
            ) from error
        return text
    return decoded(value) if isinstance(value, dict) else value


def decoded(value: dict[str, Any]) -> Any:
    """The payload of an object, if it is schema and payload, decoded; otherwise as it is."""
    if value.keys() == _ENVELOPE and isinstance(value["schema"], dict | None):
        return _decode(value["payload"], value["schema"])
    return _decode(value, None)


def whole(value: Any) -> int | None:
    """A version: a whole number, or the digits of one; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return None


def _decode(value: Any, schema: Any) -> Any:
    if value is None or _is_placeholder(value):
        return None if value is None else UNAVAILABLE
    kind = schema if isinstance(schema, Mapping) else {}
    name = kind.get("name")
    if name == DECIMAL:
        return _decimal(value, (kind.get("parameters") or {}).get("scale"))
    if name in _TO_MILLISECONDS and isinstance(value, int):
        return value // _TO_MILLISECONDS[name]
    if isinstance(value, list):
        return [_decode(one, kind.get("items")) for one in value]
    return _decode_struct(value, kind) if isinstance(value, dict) else value


def _decode_struct(value: dict[str, Any], kind: Mapping[str, Any]) -> Any:
    if value.keys() == {"scale", "value"} and isinstance(value["scale"], int):
        return _decimal(value["value"], value["scale"])  # VariableScaleDecimal
    fields = kind.get("fields")
    known = fields if isinstance(fields, list) else []
    types = {one.get("field"): one for one in known if isinstance(one, Mapping)}
    return {name: _decode(one, types.get(name)) for name, one in value.items()}


def _decimal(value: Any, scale: Any) -> int | float:
    """The number in two's complement bytes, as base64, with so many decimals."""
    try:
        unscaled = int.from_bytes(base64.b64decode(value, validate=True), "big", signed=True)
        places = int(scale)
        if abs(places) > MAX_SCALE:
            raise ValueError(places)
        number = Decimal(unscaled).scaleb(-places)
    except (TypeError, ValueError, ArithmeticError, binascii.Error) as error:
        raise CatalogError(
            f"{printable(str(value), 40)!r} is no decimal of Kafka Connect: set "
            "decimal.handling.mode to string or double"
        ) from error
    return int(number) if places <= 0 else float(number)


def _is_placeholder(value: Any) -> bool:
    """Debezium's placeholder as a text, as bytes, as the only element of an array or map."""
    if isinstance(value, list | dict) and len(value) == 1:
        value = next(iter(value))
    return isinstance(value, str) and value in _PLACEHOLDERS
