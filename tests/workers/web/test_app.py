from importlib.metadata import version
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.web.conftest import Client
from workers.config.settings import Settings
from workers.errors import SettingsError
from workers.web.openapi import openapi_document
from workers.web.worker import access_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["text", "image", "images", "top", "query_id", "product_id", "price", "type", "action_name"]
)
BODIES = st.dictionaries(NAMES | st.text(max_size=5), JSON, max_size=5) | JSON
DOORS = [
    ("POST", "/search"),
    ("POST", "/similar"),
    ("POST", "/products"),
    ("PUT", "/products/a"),
    ("PATCH", "/products/a"),
    ("DELETE", "/products/a"),
    ("POST", "/events"),
]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    door=st.sampled_from(DOORS),
    body=st.binary(max_size=60) | BODIES,
    kind=st.sampled_from(
        ["application/json", "application/x-ndjson", "multipart/form-data; boundary=x", "", "a/b"]
    ),
)
async def test_no_request_is_answered_by_a_crash(
    client: Client, door: tuple[str, str], body: Any, kind: str
) -> None:
    method, path = door
    content = (
        body if isinstance(body, bytes) else httpx.Request("POST", "/", json=_finite(body)).read()
    )
    answer = await client.request(method, path, content=content, headers={"Content-Type": kind})
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and "accepted" not in answer.json():
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


def _finite(value: Any) -> Any:
    """JSON has neither infinities nor halves of surrogate pairs."""
    if isinstance(value, float):
        return value if abs(value) < 1e300 else 0.0
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_finite(one) for one in value]
    if isinstance(value, dict):
        return {_finite(name): _finite(one) for name, one in value.items()}
    return value


async def test_the_description_has_every_route(client: Client) -> None:
    document = openapi_document(version("lookstream"))
    app = client._transport.app  # type: ignore[attr-defined]
    described = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    for route in app.routes:
        methods = (getattr(route, "methods", None) or set()) - {"HEAD"}
        path = route.path.replace(":path", "")
        if path not in ("/", "/docs", "/openapi.json", "/page", "/picture/{name}"):
            assert {(method, path) for method in methods} <= described


def test_every_reference_of_the_description_is_there() -> None:
    document = openapi_document(version("lookstream"))
    names = document["components"]["schemas"]

    def check(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                assert value["$ref"].rpartition("/")[2] in names
            for one in value.values():
                check(one)
        elif isinstance(value, list):
            for one in value:
                check(one)

    check(document)
    assert names["Query"]["required"] == []
    assert names["Click"]["required"] == ["query_id", "product_id"]


async def test_the_pages(client: Client) -> None:
    page = await client.get("/")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("http://127.0.0.1", ""), "it works without the internet"
    docs = await client.get("/docs")
    assert "POST /search" in docs.text
    assert (await client.get("/page/../worker.py")).status_code == 404


@pytest.mark.parametrize(("path", "method"), [("/nothing", "GET"), ("/search", "GET")])
async def test_what_is_not_there(client: Client, path: str, method: str) -> None:
    answer = await client.request(method, path)
    assert answer.status_code in (404, 405)
    assert answer.json()["title"]


def test_without_keys_nobody_else_may_connect() -> None:
    outside = Settings.model_validate({"web": {"host": "0.0.0.0"}})
    with pytest.raises(SettingsError, match="lookstream keys"):
        access_of(outside)
    for host in ("127.0.0.1", "::1", "localhost"):
        access_of(Settings.model_validate({"web": {"host": host}}))
