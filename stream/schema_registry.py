"""A Schema Registry (Confluent's protocol): schemas are registered, messages carry their ids.

On the wire a message is then a zero byte, the id of its schema (four bytes, big-endian) and the
JSON. Readers take that off whether or not they have a registry: no JSON begins with a zero byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
import tenacity

from stream.errors import BrokerError
from stream.json_schema import message_schemas

MAGIC = b"\x00"
HEADER_BYTES = 5
SUBJECT = "lookstream.{title}"
"""Of a schema: a topic has several kinds of messages, so that it is named by the record."""
CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
ATTEMPTS = 4
FIRST_WAIT_S, MOST_WAIT_S = 0.3, 5.0
TIMEOUT_S = 10.0

_TYPE = re.compile(rb'\{\s*"type"\s*:\s*"(\w+)"(?P<second>\s*,\s*"schema"\s*:\s*2\b)?')

Frame = Callable[[bytes | None], bytes | None]


@dataclass(frozen=True)
class SchemaRegistry:
    """Where a registry is, and who asks."""

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def framing(registry: SchemaRegistry | None) -> Frame:
    """What puts the id of its schema before a message; without a registry, nothing does.

    A message that is none of ours stays as it is. The schemas are registered by the first call.

    Raises:
        BrokerError: as `schema_ids`.
    """
    if registry is None:
        return lambda value: value
    headers = {
        name: MAGIC + number.to_bytes(4, "big") for name, number in schema_ids(registry).items()
    }

    def frame(value: bytes | None) -> bytes | None:
        found = _TYPE.match(value or b"")
        if value is None or found is None:
            return value
        name = found[1].decode()
        if name == "result" and not found["second"]:
            name = "result-1"
        return headers.get(name, b"") + value

    return frame


def without_frame(data: bytes | None) -> bytes | None:
    """The JSON of a message, whoever put the id of a schema before it."""
    framed = (
        data is not None and data[:1] == MAGIC and data[HEADER_BYTES : HEADER_BYTES + 1] == b"{"
    )
    return data[HEADER_BYTES:] if data is not None and framed else data


@lru_cache(maxsize=4)
def schema_ids(registry: SchemaRegistry) -> dict[str, int]:
    """Register the schema of every message; returns their ids, by the names of `MESSAGES`.

    Registering a schema that is there already changes nothing.

    Raises:
        BrokerError: the registry does not answer, refuses the credentials, or has a version of a
            schema that ours is not compatible with.
    """
    import httpx  # noqa: PLC0415 - a client without a registry needs none

    found: dict[str, int] = {}
    auth = None if registry.username is None else (registry.username, registry.password or "")
    with httpx.Client(base_url=registry.url, auth=auth, timeout=TIMEOUT_S) as http:
        for name, schema in message_schemas().items():
            subject = SUBJECT.format(title=schema["title"])
            body = {"schemaType": "JSON", "schema": orjson.dumps(schema).decode()}
            found[name] = _registered(http, registry.url, subject, body)
    return found


def _registered(http: Any, url: str, subject: str, body: dict[str, str]) -> int:
    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_Later),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random_exponential(FIRST_WAIT_S, MOST_WAIT_S),
        reraise=True,
    )
    return tries(_register, http, url, subject, body)


class _Later(BrokerError):
    """It may work a moment later."""


def _register(http: Any, url: str, subject: str, body: dict[str, str]) -> int:
    import httpx  # noqa: PLC0415 - see above

    try:
        answer = http.post(
            f"/subjects/{subject}/versions",
            content=orjson.dumps(body),
            headers={"Content-Type": CONTENT_TYPE, "Accept": CONTENT_TYPE},
        )
    except httpx.TransportError as error:
        raise _Later(f"no schema registry answers at {url}: {error}") from error
    if answer.status_code >= 500:
        raise _Later(f"the schema registry at {url} fails: {_message(answer)}")
    if answer.status_code in (401, 403):
        raise BrokerError(
            f"the schema registry at {url} refuses to register {subject} ({_message(answer)}): set "
            "kafka.schema_registry_username and kafka.schema_registry_password"
        )
    if answer.status_code == 409:
        raise BrokerError(
            f"the schema registry has a version of {subject} that this one is not compatible with "
            f"({_message(answer)}): upgrade what is older, or change the subject's compatibility"
        )
    number = _object(answer).get("id")
    if not answer.is_success or not isinstance(number, int):
        raise BrokerError(
            f"the schema registry at {url} did not register {subject}: {_message(answer)}"
        )
    return number


def _object(answer: Any) -> dict[str, Any]:
    try:
        found = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _message(answer: Any) -> str:
    return str(_object(answer).get("message", f"status {answer.status_code}"))[:500]
