"""`/products`: upsert, patch and delete, one at a time or as JSON lines.

A product is accepted once Kafka has the event for good (202, with the event's id). With
`?wait=searchable` the answer comes when the event has been applied (200).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stream.errors import DecodeError, StreamError
from stream.event_sender import Place
from workers.ingest.read_event import ReadEvent, read_fields
from workers.web.context import WebContext, context_of
from workers.web.guard import needs
from workers.web.problems import Problem
from workers.web.read_query import json_object

MOST_LINES = 10_000
AT_ONCE = 500
"""Events of a bulk request that are under way at a time."""
MOST_WAIT_S = 60.0
NDJSON = ("application/x-ndjson", "application/jsonl", "application/json-lines")

check_write = needs("write")


async def write(request: Request) -> Response:
    """`POST /products`: an event as JSON, by default an upsert, or many as JSON lines."""
    await check_write(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in NDJSON:
        return await _write_lines(request)
    if kind not in ("application/json", ""):
        raise Problem(
            415, "media_type", f"{kind!r} cannot be read here: use application/json or {NDJSON[0]}"
        )
    return await _write_one(request, json_object(await request.body()))


async def put(request: Request) -> Response:
    """`PUT /products/{product_id}`: the product as it is now."""
    return await _write_named(request, "upsert", json_object(await request.body()))


async def patch(request: Request) -> Response:
    """`PATCH /products/{product_id}`: price, currency, in_stock or attributes."""
    return await _write_named(request, "patch", json_object(await request.body()))


async def delete(request: Request) -> Response:
    """`DELETE /products/{product_id}`; `?version=` where events have versions."""
    version = request.query_params.get("version")
    return await _write_named(request, "delete", {} if version is None else {"version": version})


async def _write_named(request: Request, kind: str, fields: dict[str, Any]) -> Response:
    await check_write(request)
    product_id = request.path_params["product_id"]
    if fields.get("product_id", product_id) != product_id or fields.get("type", kind) != kind:
        raise Problem(
            422,
            "invalid_field",
            f"the body says otherwise than the request, which is {kind} of {product_id!r}: "
            "leave product_id and type out",
            field="product_id",
        )
    return await _write_one(request, {**fields, "type": kind, "product_id": product_id})


async def _write_one(request: Request, fields: dict[str, Any]) -> Response:
    context = context_of(request)
    wait_s = _wait(request)
    read = _read(fields)
    place = await context.gateway.send(read.event)
    report = _report(read, place)
    if wait_s is None:
        return _json(report, 202)
    end = await context.gateway.end_of(place, wait_s)
    if end is None:
        return _json(report | {"note": f"not applied yet after {wait_s:g} s; it will be"}, 202)
    if end.state == "refused":
        raise Problem(422, "refused", end.reason)
    return _json(report | {"state": "searchable" if end.state == "applied" else end.state}, 200)


async def _write_lines(request: Request) -> Response:
    """Send all lines that can be read; the answer has a report of each of the others."""
    context = context_of(request)
    if request.query_params.get("wait"):
        raise Problem(422, "invalid_field", "wait is for single products", field="wait")
    failed: list[dict[str, Any]] = []
    accepted = 0
    lines = list(_lines(await request.body()))
    for start in range(0, len(lines), AT_ONCE):
        some = lines[start : start + AT_ONCE]
        for found in await asyncio.gather(*(_send_line(context, *one) for one in some)):
            if found is None:
                accepted += 1
            else:
                failed.append(found)
    status = 202 if not failed else 207 if accepted else 422
    return _json({"accepted": accepted, "failed": failed}, status)


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    lines = [(at, line) for at, line in enumerate(body.splitlines(), start=1) if line.strip()]
    if len(lines) > MOST_LINES:
        raise Problem(
            413,
            "too_many_lines",
            f"send at most {MOST_LINES:,} lines in a request, not {len(lines):,}",
        )
    yield from lines


async def _send_line(context: WebContext, number: int, line: bytes) -> dict[str, Any] | None:
    """Send the event of a line; what is wrong with it, or None."""
    try:
        await context.gateway.send(_read(json_object(line)).event)
    except (Problem, StreamError) as error:
        detail = error.detail if isinstance(error, Problem) else str(error)
        field = error.field if isinstance(error, DecodeError) else None
        return {"line": number, "detail": detail} | ({"field": field} if field else {})
    return None


def _read(fields: dict[str, Any]) -> ReadEvent:
    """The event; one that does not say its type is an upsert."""
    return read_fields({"type": "upsert", **fields})


async def event(request: Request) -> Response:
    """`GET /events/{event_id}`: how an event ended, waiting for it up to `timeout_s`."""
    await check_write(request)
    context = context_of(request)
    event_id = request.path_params["event_id"]
    place = Place.of_event(event_id, context.gateway.topics.catalog.name)
    end = await context.gateway.end_of(place, _timeout_s(request))
    state = "accepted" if end is None else "searchable" if end.state == "applied" else end.state
    reason = {"reason": end.reason} if end is not None and end.reason else {}
    return _json({"event_id": event_id, "state": state, **reason}, 200)


def _wait(request: Request) -> float | None:
    """How many seconds to wait for the end of the event; None for not at all."""
    wait = request.query_params.get("wait")
    if wait is None:
        return None
    if wait != "searchable":
        raise Problem(422, "invalid_field", "wait can be searchable", field="wait")
    return _timeout_s(request)


def _timeout_s(request: Request) -> float:
    given = request.query_params.get("timeout_s", "10")
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1
    if not 0 < seconds <= MOST_WAIT_S:
        raise Problem(
            422,
            "invalid_field",
            f"timeout_s is over 0 and at most {MOST_WAIT_S:g}",
            field="timeout_s",
        )
    return seconds


def _report(read: ReadEvent, place: Place) -> dict[str, Any]:
    report: dict[str, Any] = {
        "event_id": place.event_id,
        "product_id": read.event.product_id,
        "state": "accepted",
    }
    if read.coercions:
        report["coerced"] = [kind.meaning for kind in read.coercions]
    return report


def _json(body: dict[str, Any], status: int) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
