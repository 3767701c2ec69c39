"""`POST /events`: what shoppers did with a list of results.

An event is a click of ours (its `action` may be a basket or a purchase), or one of User Behavior
Insights (OpenSearch UBI 1.0), of which the action, the query and the product are read.
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
UBI_ACTIONS = {"click": "click", "add_to_cart": "basket", "purchase": "purchase"}
"""UBI leaves the names of actions open; these are those of its examples."""


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
            422,
            "invalid_field",
            f"type is {kind!r}; leave it out, and give what was done as action",
            field="type",
        )
    click: Click = convert({"click_id": uuid.uuid4().hex, **fields, "type": CLICK}, Click)
    return click


def _of_ubi(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a click in a UBI event: its object is the product.

    Raises:
        Problem: it is about no action that is joined to results.
    """
    name = fields["action_name"]
    if not isinstance(name, str) or name not in UBI_ACTIONS:
        raise Problem(
            422,
            "invalid_field",
            f"action_name is {name!r}; expected one of {', '.join(UBI_ACTIONS)}",
            field="action_name",
        )
    attributes = fields.get("event_attributes")
    shown = attributes.get("object") if isinstance(attributes, dict) else None
    found = {"action": UBI_ACTIONS[name], "query_id": fields.get("query_id")}
    if isinstance(shown, dict):
        found["product_id"] = shown.get("object_id")
    return {name: value for name, value in found.items() if value is not None}
