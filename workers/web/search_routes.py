"""`POST /search`: a query over HTTP, and its result."""

from __future__ import annotations

from itertools import chain
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stream.messages import Query, Result
from workers.web.context import WebContext, context_of
from workers.web.guard import needs
from workers.web.problems import Problem
from workers.web.read_query import read_query

check_search = needs("search")

STATUS_OF = {"search_unavailable": 503, "deadline_exceeded": 504}
"""Of the codes of a result's error those that are not the query's fault."""


async def search(request: Request) -> Response:
    """`POST /search`: products that a photo, words, or both show."""
    await check_search(request)
    return await _answer(context_of(request), await read_query(request))


async def similar(request: Request) -> Response:
    """`POST /similar`: more like one product or several, `{"like": [ID, …]}`."""
    await check_search(request)
    query = await read_query(request)
    if not query.like:
        raise Problem(422, "invalid_field", "like names the products to find more of", field="like")
    return await _answer(context_of(request), query)


async def _answer(context: WebContext, query: Query) -> Response:
    result = await context.gateway.search(query)
    if result.error:
        raise Problem(
            STATUS_OF.get(result.error.code, 422),
            result.error.code,
            result.error.message,
            field=result.error.field,
            position=result.error.position,
        )
    return Response(
        msgspec.json.encode(result_fields(context, result)), media_type="application/json"
    )


def result_fields(context: WebContext, result: Result) -> dict[str, Any]:
    """A result as HTTP answers it: with a link to each picture, which a browser can open."""
    fields: dict[str, Any] = msgspec.to_builtins(result)
    for name in ("type", "schema", "event_time"):
        fields.pop(name, None)
    for item in chain(*(one.get("items", ()) for one in (fields, *fields.get("groups", ())))):
        link = context.pictures.link(item.get("image"))
        if link:
            item["image_url"] = link
    return {"items": [], **fields}


async def picture(request: Request) -> Response:
    """A product's picture that an answer has a link to."""
    shown = await context_of(request).pictures.thumbnail(request.path_params["name"])
    return Response(
        shown, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"}
    )
