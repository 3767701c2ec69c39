"""The page, and the readable description of the API: templates, filled once."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from workers.web.context import context_of
from workers.web.openapi import openapi_document

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' https: http: data: blob:; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


async def page(request: Request) -> HTMLResponse:
    """Search by photo and words."""
    settings = context_of(request).settings.web
    template = _templates().get_template("page.html.j2")
    filled = template.render(max_body_bytes=settings.max_body_bytes, facets=settings.facets)
    return HTMLResponse(filled, headers=HEADERS)


async def docs(_request: Request) -> HTMLResponse:
    """Every request that can be made, with its fields."""
    filled = (
        _templates()
        .get_template("docs.html.j2")
        .render(api=openapi_document(version("lookstream")))
    )
    return HTMLResponse(filled, headers=HEADERS)


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("workers.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
