"""The web app: its routes, and what guards them."""

from __future__ import annotations

from importlib.metadata import version

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from stream.errors import BrokerError, DecodeError, RequestTimeout
from workers.web import (
    event_routes,
    health_routes,
    live_routes,
    page_routes,
    product_routes,
    search_routes,
)
from workers.web.context import WebContext
from workers.web.guard import Access, Guard
from workers.web.openapi import openapi_document
from workers.web.pictures import PATH as PICTURES
from workers.web.problems import Problem, on_defect, on_http_error, on_problem

OPEN = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz"})
"""What needs no key. Pictures have links that are signed."""


def open_path(path: str) -> bool:
    """Whether a path is for everybody who may connect."""
    return path in OPEN or path.startswith(("/page/", PICTURES))


def make_app(context: WebContext, access: Access) -> Starlette:
    """The ASGI app."""
    app = Starlette(
        routes=[
            Route("/", page_routes.page),
            Route("/docs", page_routes.docs),
            Route("/openapi.json", openapi),
            Route("/search", search_routes.search, methods=["POST"]),
            Route("/similar", search_routes.similar, methods=["POST"]),
            Route("/picture/{name}", search_routes.picture),
            Route("/products", product_routes.write, methods=["POST"]),
            Route("/products/{product_id:path}", product_routes.put, methods=["PUT"]),
            Route("/products/{product_id:path}", product_routes.patch, methods=["PATCH"]),
            Route("/products/{product_id:path}", product_routes.delete, methods=["DELETE"]),
            Route("/events", event_routes.events, methods=["POST"]),
            Route("/events/{event_id}", product_routes.event),
            Route("/live", live_routes.live),
            Route("/healthz", health_routes.health),
            Route("/readyz", health_routes.ready),
            Route("/metrics", health_routes.metrics),
            Mount("/page", StaticFiles(packages=[("workers.web", "static")]), name="page"),
        ],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=sorted(access.origins),
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "X-API-Key"],
            ),
            Middleware(Guard, access=access, open_paths=open_path),
        ],
        exception_handlers={
            Problem: on_problem,
            DecodeError: on_problem,
            RequestTimeout: on_problem,
            BrokerError: on_problem,
            HTTPException: on_http_error,
            Exception: on_defect,
        },
    )
    app.state.context = context
    return app


async def openapi(_request: Request) -> Response:
    """The description of this API."""
    body = msgspec.json.encode(openapi_document(version("lookstream")))
    return Response(body, media_type="application/json")
