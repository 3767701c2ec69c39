"""`POST /events`: what shoppers did with a list of results.

An event is a click of ours, or one of User Behavior Insights (OpenSearch UBI 1.0), of which the
query and the product are read.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stream.codec import convert
from stream.messages import Click
from workers.web.context import context_of
from workers.web.guard import needs
from workers.web.problems import Problem
from workers.web.read_query import json_object

check_search = needs("search")

CLICK = "click"


async def events(request: Request) -> Response:
    """Send a click to the click topic; 202 when Kafka has it."""
    await check_search(request)
    click = click_of(json_object(await request.body()))
    await context_of(request).gateway.send_click(click)
    body = msgspec.json.encode({"click_id": click.click_id, "state": "accepted"})
    return Response(body, 202, media_type="application/json")


def click_of(fields: dict[str, Any]) -> Click:
    """The click that a JSON object is.

    Raises:
        Problem: it is of another kind.
        DecodeError: a field is missing or out of its bounds.
    """
    if "action_name" in fields:
        fields = _of_ubi(fields)
    kind = fields.get("type", CLICK)
    if kind != CLICK:
        raise Problem(
            422, "invalid_field", f"type is {kind!r}; only {CLICK!r} is known", field="type"
        )
    click: Click = convert({"click_id": uuid.uuid4().hex, **fields, "type": CLICK}, Click)
    return click


def _of_ubi(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a click in a UBI event: its object is the product."""
    attributes = fields.get("event_attributes")
    shown = attributes.get("object") if isinstance(attributes, dict) else None
    found = {"type": fields["action_name"], "query_id": fields.get("query_id")}
    if isinstance(shown, dict):
        found["product_id"] = shown.get("object_id")
    return {name: value for name, value in found.items() if value is not None}
