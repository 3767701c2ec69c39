"""`GET /openapi.json`: the description of the API, made from the messages themselves."""

from __future__ import annotations

from functools import cache
from typing import Any

from stream.json_schema import schema_components
from stream.messages import Click, OfferPatch, ProductUpsert, Query, Result

JSON = "application/json"
REF = "#/components/schemas/{name}"
ADDED = {
    "Problem": {
        "type": "object",
        "description": "An error (RFC 9457).",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "description": "What kind of error, for machines."},
            "detail": {"type": "string", "description": "What is wrong and what to do."},
            "field": {"type": "string", "description": "The field that is to blame."},
            "position": {"type": "integer", "description": "The character of it, from 0."},
        },
    },
    "Accepted": {
        "type": "object",
        "required": ["event_id", "product_id", "state"],
        "properties": {
            "event_id": {"type": "string"},
            "product_id": {"type": "string"},
            "state": {"enum": ["accepted", "searchable", "superseded"]},
            "coerced": {"type": "array", "items": {"type": "string"}},
            "note": {"type": "string"},
        },
    },
}


@cache
def openapi_document(version: str) -> dict[str, Any]:
    """The document, OpenAPI 3.1; `version` is that of Lookstream."""
    messages = (Query, Result, ProductUpsert, OfferPatch, Click)
    schemas = schema_components(messages, REF)
    for name in ("Query", "Result", "ProductUpsert", "OfferPatch", "Click"):
        _over_http(schemas[name], optional=("query_id",) if name == "Query" else ("click_id",))
    schemas["Query"]["properties"]["image_base64"] = {
        "type": "string",
        "description": "The picture itself, in place of `image`.",
    }
    schemas["ResultItem"]["properties"]["image_url"] = {
        "type": "string",
        "description": "Where a browser finds the picture.",
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lookstream",
            "version": version,
            "description": "Which product does a photo show? Products come in by Kafka or here; "
            "seconds later they are found. Errors are problem details (RFC 9457).",
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"key": []}],
        "paths": _paths(),
        "components": {
            "schemas": {**schemas, **ADDED},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _over_http(schema: dict[str, Any], optional: tuple[str, ...]) -> None:
    """A message without what only Kafka needs: its type, its schema."""
    for name in ("type", "schema"):
        schema["properties"].pop(name, None)
    required = [
        name for name in schema.get("required", ()) if name not in ("type", "schema", *optional)
    ]
    schema["required"] = required


def _paths() -> dict[str, Any]:
    product_id: dict[str, Any] = {
        "name": "product_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    }
    waiting: list[dict[str, Any]] = [
        {"name": "wait", "in": "query", "schema": {"enum": ["searchable"]}},
        {
            "name": "timeout_s",
            "in": "query",
            "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 60},
        },
    ]
    by_id = [product_id, *waiting]
    return {
        "/search": {
            "post": _operation(
                "Products that a photo, words, or both show.",
                {JSON: _ref("Query"), "multipart/form-data": _form()},
                {"200": ("The products, best first.", _ref("Result"))},
            )
        },
        "/similar": {
            "post": _operation(
                "More like some products: `like` names them; nothing is fetched or encoded.",
                {JSON: _ref("Query")},
                {"200": ("The products, best first, without those.", _ref("Result"))},
            )
        },
        "/products": {
            "post": _operation(
                "Add or change a product; or many, as JSON lines.",
                {JSON: _ref("ProductUpsert"), "application/x-ndjson": {"type": "string"}},
                _accepted() | {"207": ("Some lines were not accepted.", {"type": "object"})},
                waiting,
            )
        },
        "/products/{product_id}": {
            "put": _operation(
                "The product as it is now.", {JSON: {"type": "object"}}, _accepted(), by_id
            ),
            "patch": _operation(
                "Change price, currency, in_stock or attributes; nothing is encoded.",
                {JSON: {"type": "object"}},
                _accepted(),
                by_id,
            ),
            "delete": _operation("The product is gone.", {}, _accepted(), by_id),
        },
        "/events": {
            "post": _operation(
                "What a shopper did with a result: a click, a basket or a purchase; or as UBI 1.0.",
                {JSON: _ref("Click")},
                {"202": ("Kafka has it.", {"type": "object"})},
            )
        },
        "/events/{event_id}": {
            "get": _operation(
                "How a catalog event ended, of late: waits for it up to timeout_s.",
                {},
                {"200": ("accepted, searchable, superseded or refused.", {"type": "object"})},
                [
                    {
                        "name": "event_id",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string"},
                    },
                    waiting[1],
                ],
            )
        },
        "/live": {
            "get": _operation(
                "Catalog events as they come and become searchable.",
                {},
                {"200": ("Server-sent events.", None)},
            )
        },
        "/healthz": {"get": _operation("The process answers.", {}, {"200": ("It does.", None)})},
        "/readyz": {
            "get": _operation(
                "Whether queries are answered.",
                {},
                {"200": ("They are.", {"type": "object"}), "503": ("Not now.", {"type": "object"})},
            )
        },
        "/metrics": {
            "get": _operation("Prometheus metrics.", {}, {"200": ("In its text format.", None)})
        },
    }


def _operation(
    summary: str,
    bodies: dict[str, dict[str, Any]],
    answers: dict[str, tuple[str, dict[str, Any] | None]],
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    responses: dict[str, Any] = {
        status: {"description": text}
        | ({"content": {JSON: {"schema": schema}}} if schema is not None else {})
        for status, (text, schema) in answers.items()
    }
    responses["default"] = {
        "description": "A problem.",
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
    }
    found: dict[str, Any] = {"summary": summary, "responses": responses}
    if bodies:
        content = {kind: {"schema": schema} for kind, schema in bodies.items()}
        found["requestBody"] = {"required": True, "content": content}
    if parameters:
        found["parameters"] = parameters
    return found


def _accepted() -> dict[str, tuple[str, dict[str, Any] | None]]:
    return {
        "200": ("It is applied: `?wait=searchable`.", _ref("Accepted")),
        "202": ("Kafka has the event.", _ref("Accepted")),
    }


def _form() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "image": {"type": "string", "format": "binary"},
            "text": {"type": "string"},
            "top": {"type": "integer", "minimum": 1, "maximum": 100},
            "query": {"type": "string", "description": "A JSON object with any other fields."},
        },
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": REF.format(name=name)}
