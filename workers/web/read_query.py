"""A query from an HTTP request: JSON, or a form with a picture."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from models.catalog.json_object import read_object
from models.errors import CatalogError
from stream.codec import convert
from stream.messages import Query
from workers.web.problems import Problem

REMOTE = ("http://", "https://", "s3://", "data:")
"""What a picture may be named by: never a file, which would be one of another machine."""

NUMBERS = ("top", "page", "min_probability")
YES_OR_NO = ("explain", "repair")
LISTS = ("facets", "like")
"""Fields that a form has as text: a number, true or false, one of several."""

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


async def read_query(request: Request) -> Query:
    """The query in a request.

    JSON has the fields of a query (`stream.messages.Query`), or `image_base64` in place of `image`.
    A form has the same as parts; `image` may be a file, and `query` may be a JSON object with all
    the others. An id is made where there is none.

    Raises:
        Problem: the body is neither, or a picture is no reference that may be used here.
        DecodeError: a field is not what it must be; its text names it.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        async with request.form(max_files=10, max_fields=50) as form:
            fields = await _form_fields(form)
    elif kind in ("application/json", ""):
        fields = json_object(await request.body())
    else:
        raise Problem(
            415,
            "media_type",
            f"{kind!r} cannot be read here: send application/json or multipart/form-data",
        )
    return query_of(fields)


def query_of(fields: dict[str, Any]) -> Query:
    """The query that these fields make; raises as `read_query`."""
    fields = {"query_id": uuid.uuid4().hex, **fields, "type": "query", "schema": 2}
    encoded = fields.pop("image_base64", None)
    if encoded is not None:
        if fields.get("image") is not None:
            raise Problem(422, "invalid_field", "give image or image_base64, not both")
        fields["image"] = _uri_of_base64(encoded)
    _check_reference(fields.get("image"), "image")
    images = fields.get("images")
    for number, one in enumerate(images if isinstance(images, list) else ()):
        if isinstance(one, dict):
            _check_reference(one.get("image"), f"images[{number}].image")
    query: Query = convert(fields, Query)
    return query


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is; raises `Problem`."""
    try:
        return read_object(body, "the request")
    except CatalogError as error:
        raise Problem(400, "not_json", str(error)) from error


def picture_uri(content: bytes, media_type: str | None) -> str:
    """A picture as a `data:` URI."""
    kind = media_type if media_type and media_type.isascii() and "," not in media_type else ""
    kind = kind.partition(";")[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


async def _form_fields(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != "image":
                raise Problem(
                    422, "invalid_field", f"the file {name!r} has no use; name it image", field=name
                )
            fields["image"] = picture_uri(await value.read(), value.content_type)
        elif name == "query":
            fields = {**json_object(value.encode()), **fields}
        elif value != "":
            _add(fields, name, value)
    return fields


def _add(fields: dict[str, Any], name: str, value: str) -> None:
    """Add a part of a form, as what the field is; other values stay for the query to refuse."""
    if name in LISTS:
        fields.setdefault(name, []).append(value)
    elif name in NUMBERS and _NUMBER.fullmatch(value.strip()):
        fields[name] = float(value) if "." in value else int(value)
    elif name in YES_OR_NO and value in ("true", "false"):
        fields[name] = value == "true"
    else:
        fields[name] = value


def _uri_of_base64(encoded: Any) -> str:
    if not isinstance(encoded, str):
        raise Problem(422, "invalid_field", "image_base64 is a text", field="image_base64")
    try:
        return picture_uri(base64.b64decode(encoded, validate=True), None)
    except (binascii.Error, ValueError) as error:
        raise Problem(
            422, "invalid_field", f"image_base64 is not base64: {error}", field="image_base64"
        ) from error


def _check_reference(reference: Any, field: str) -> None:
    if isinstance(reference, str) and not reference.lower().startswith(REMOTE):
        raise Problem(
            422,
            "invalid_field",
            f"{field} is {reference[:100]!r}: give an http(s) address, a data: URI, image_base64, "
            "or send the picture as a file in a form",
            field=field,
        )
