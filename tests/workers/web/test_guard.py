from collections.abc import AsyncIterator

import httpx
import pytest

from tests.doubles.gateway import FakeGateway
from tests.workers.web.conftest import Client, Open
from workers.web.api_keys import ApiKeys, make_key
from workers.web.rate_limit import RateLimit

READER, READER_KEY = make_key("shop", ["search"])
WRITER, WRITER_KEY = make_key("import", ["write"])
KEYS = ApiKeys([READER_KEY, WRITER_KEY])
PRODUCT = {"product_id": "milk", "title": "Milk"}


async def ask(client: Client, word: str = "", path: str = "/search", **json: object) -> int:
    headers = {"Authorization": f"Bearer {word}"} if word else {}
    answer = await client.post(path, json=json, headers=headers)
    return answer.status_code


async def test_without_keys_loopback_may_do_all(client: Client, gateway: FakeGateway) -> None:
    assert await ask(client, text="milk") == 200
    assert await ask(client, path="/products", **PRODUCT) == 202
    assert len(gateway.queries) == len(gateway.events) == 1


async def test_a_key_is_needed_where_there_are_some(
    open_client: Open, gateway: FakeGateway
) -> None:
    client = open_client(keys=KEYS)
    assert await ask(client, text="milk") == 401
    assert await ask(client, READER[:-1] + "x", text="milk") == 401
    assert await ask(client, READER_KEY.sha256, text="milk") == 401
    assert not gateway.queries
    assert await ask(client, READER, text="milk") == 200
    answer = await client.post("/search", json={"text": "milk"}, headers={"X-API-Key": READER})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/search"),
        ("POST", "/similar"),
        ("POST", "/products"),
        ("PUT", "/products/milk"),
        ("PATCH", "/products/milk"),
        ("DELETE", "/products/milk"),
        ("POST", "/events"),
        ("GET", "/events/0-1"),
        ("GET", "/live"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
    ],
)
async def test_no_door_is_open_without_a_key(
    open_client: Open, gateway: FakeGateway, method: str, path: str
) -> None:
    answer = await open_client(keys=KEYS).request(method, path, json=PRODUCT)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert gateway.untouched


async def test_a_scope_allows_no_more_than_it_says(open_client: Open, gateway: FakeGateway) -> None:
    client = open_client(keys=KEYS)
    assert await ask(client, READER, "/products", **PRODUCT) == 403
    assert await ask(client, WRITER, text="milk") == 403
    assert await ask(client, WRITER, "/events", query_id="q", product_id="p") == 403
    assert gateway.untouched
    assert await ask(client, WRITER, "/products", **PRODUCT) == 202


async def test_what_anybody_may_see(open_client: Open) -> None:
    client = open_client(keys=KEYS)
    for path in ("/", "/docs", "/openapi.json", "/healthz", "/page/page.js"):
        assert (await client.get(path)).status_code == 200, path


async def test_pages_of_others_may_not_ask(open_client: Open, gateway: FakeGateway) -> None:
    client = open_client(origins=frozenset({"https://shop.example"}))

    async def from_origin(origin: str) -> httpx.Response:
        return await client.post("/search", json={"text": "milk"}, headers={"Origin": origin})

    assert (await from_origin("https://evil.example")).status_code == 403
    assert (await from_origin("null")).status_code == 403
    assert not gateway.queries
    assert (await from_origin("http://127.0.0.1:8420")).status_code == 200
    allowed = await from_origin("https://shop.example")
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"


async def test_a_foreign_name_for_loopback_is_refused_while_there_are_no_keys(
    open_client: Open,
) -> None:
    headers = {"Host": "evil.example"}
    answer = await open_client().post("/search", json={"text": "milk"}, headers=headers)
    assert answer.status_code == 421
    named = open_client(hosts=frozenset({"evil.example"}))
    assert (await named.post("/search", json={"text": "m"}, headers=headers)).status_code == 200
    keyed = open_client(keys=KEYS)
    headers["Authorization"] = f"Bearer {READER}"
    assert (await keyed.post("/search", json={"text": "m"}, headers=headers)).status_code == 200


async def test_too_much_is_refused_whether_it_is_announced_or_not(
    open_client: Open, gateway: FakeGateway
) -> None:
    client = open_client(max_body_bytes=1000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    headers = {"Content-Type": "application/json"}
    announced = await client.post("/search", content=b"x" * 1001, headers=headers)
    streamed = await client.post("/search", content=pieces(), headers=headers)
    form = await client.post("/search", files={"image": b"x" * 2000})
    assert [one.status_code for one in (announced, streamed, form)] == [413] * 3
    assert "web.max_body_bytes" in streamed.json()["detail"]
    assert not gateway.queries


async def test_each_key_has_a_rate_of_its_own(open_client: Open) -> None:
    now = [0.0]
    client = open_client(keys=KEYS, rate=RateLimit(2, 2, lambda: now[0]))
    assert [await ask(client, READER, text="milk") for _ in range(3)] == [200, 200, 429]
    assert await ask(client, WRITER, "/products", **PRODUCT) == 202
    now[0] = 0.5
    assert [await ask(client, READER, text="milk") for _ in range(2)] == [200, 429]
