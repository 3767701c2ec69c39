"""`/healthz`, `/readyz` and `/metrics`: for whoever runs the worker."""

from __future__ import annotations

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from workers.web.context import context_of


async def health(_request: Request) -> Response:
    """The process answers."""
    return Response(b'{"status":"ok"}', media_type="application/json")


async def ready(request: Request) -> Response:
    """200 if queries are answered, else 503; with what each part said."""
    report = await context_of(request).readiness.report()
    body = msgspec.json.encode({"ready": report.ready, **report.checks})
    return Response(body, 200 if report.ready else 503, media_type="application/json")


async def metrics(_request: Request) -> Response:
    """Prometheus metrics of this process."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
