"""`POST /search`: a query over HTTP, and its result."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stream.messages import QueryError, Result
from workers.web.context import WebContext, context_of
from workers.web.guard import needs
from workers.web.problems import RETRY_AFTER_S, Problem
from workers.web.read_query import read_query

check_search = needs("search")


async def search(request: Request) -> Response:
    """Products that a photo, words, or both show."""
    await check_search(request)
    context = context_of(request)
    result = await context.gateway.search(await read_query(request))
    if result.error:
        raise _problem(result.error)
    return Response(
        msgspec.json.encode(result_fields(context, result)), media_type="application/json"
    )


def _problem(error: QueryError) -> Problem:
    """What the query worker says of a query that it could not answer."""
    code = error.code.replace("_", "-")
    if error.code == "search_unavailable":
        return Problem(503, code, error.message, retry_after_s=RETRY_AFTER_S)
    return Problem(422, code, error.message, field=error.field)


def result_fields(context: WebContext, result: Result) -> dict[str, Any]:
    """A result as HTTP answers it: with a link to each picture, which a browser can open."""
    fields: dict[str, Any] = msgspec.to_builtins(result)
    for name in ("type", "schema", "event_time"):
        fields.pop(name, None)
    for item in fields.get("items", ()):
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
