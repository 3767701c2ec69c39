import base64
from pathlib import Path

import pytest
from PIL import Image

from stream.errors import BrokerError, RequestTimeout
from stream.messages import ObjectGroup, QueryError, ResultItem
from tests.doubles.colours import picture_png
from tests.doubles.gateway import FakeGateway
from tests.workers.web.conftest import Client

PNG = picture_png("red")
URI = "data:image/png;base64," + base64.b64encode(PNG).decode()


def shown(image: str | None) -> ResultItem:
    return ResultItem(
        product_id="a", item_id="a#0", probability=0.5, level=1, position=1, image=image, price=2.5
    )


async def test_words_and_a_picture_as_json(client: Client, gateway: FakeGateway) -> None:
    body = {"text": "oat milk", "image": URI, "top": 3, "query_id": "mine"}
    answer = await client.post("/search", json=body)
    assert answer.status_code == 200
    (query,) = gateway.queries
    assert (query.text, query.image, query.top, query.query_id) == ("oat milk", URI, 3, "mine")
    found = answer.json()
    assert found["query_id"] == "mine"
    assert found["items"][0]["title"] == "Oat milk"
    assert "type" not in found


async def test_more_like_a_product(client: Client, gateway: FakeGateway) -> None:
    assert (await client.post("/similar", json={"like": ["milk"], "top": 3})).status_code == 200
    assert gateway.queries[0].like == ("milk",)
    answer = await client.post("/similar", json={"text": "milk"})
    assert (answer.status_code, answer.json()["field"]) == (422, "like")


async def test_a_form_has_every_field(client: Client, gateway: FakeGateway) -> None:
    form = {
        "text": "milk",
        "filter": "price:<3",
        "facets": ["category", "price(0, 10)"],
        "page": "2",
        "min_probability": "0.5",
        "explain": "true",
        "sort": "price:asc",
    }
    assert (await client.post("/search", data=form)).status_code == 200
    (query,) = gateway.queries
    assert (query.filter, query.facets) == ("price:<3", ("category", "price(0, 10)"))
    assert (query.page, query.min_probability, query.explain) == (2, 0.5, True)
    assert (query.sort, query.schema) == ("price:asc", 2)


async def test_a_picture_as_base64_or_as_a_file(client: Client, gateway: FakeGateway) -> None:
    encoded = base64.b64encode(PNG).decode()
    await client.post("/search", json={"image_base64": encoded})
    form = {"text": "milk", "top": "7", "query": '{"query_id": "mine"}'}
    await client.post("/search", data=form, files={"image": ("photo.png", PNG, "image/png")})
    first, second = gateway.queries
    assert first.image is not None
    assert first.image.partition(",")[2] == encoded
    assert second.image == URI
    assert (second.text, second.top, second.query_id) == ("milk", 7, "mine")
    assert first.query_id != second.query_id


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "milk", "top": 0}, "top"),
        ({"text": "milk", "colour": "red"}, "colour"),
        ({"text": 7}, "text"),
        ({"image": "/etc/passwd"}, "image"),
        ({"image": "file:///etc/passwd"}, "image"),
        ({"image": "photo.jpg"}, "image"),
        ({"image_base64": "§"}, "image_base64"),
        ({"image_base64": 1}, "image_base64"),
        ({}, None),
        ({"image": URI, "image_base64": "aaaa"}, None),
    ],
)
async def test_a_wrong_field_is_named(
    client: Client, gateway: FakeGateway, body: dict[str, object], field: str | None
) -> None:
    answer = await client.post("/search", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 422
    assert problem.get("field") == field
    assert len(problem["detail"]) > 20
    assert not gateway.queries


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'"a"'])
async def test_what_is_no_json_object(client: Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/search", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "not_json")


async def test_another_media_type(client: Client) -> None:
    answer = await client.post("/search", content=b"a", headers={"Content-Type": "text/csv"})
    assert answer.status_code == 415


async def test_what_the_query_worker_says(client: Client, gateway: FakeGateway) -> None:
    gateway.error = QueryError(
        code="invalid_filter", message="`prize` is no field", field="filter", position=4
    )
    answer = await client.post("/search", json={"text": "milk"})
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["code"], problem["detail"]) == ("invalid_filter", "`prize` is no field")
    assert (problem["field"], problem["position"]) == ("filter", 4)


@pytest.mark.parametrize(
    ("failure", "status"),
    [(RequestTimeout("no answer within 10 s"), 504), (BrokerError("Kafka is gone"), 503)],
)
async def test_when_the_topics_fail(
    client: Client, gateway: FakeGateway, failure: RequestTimeout | BrokerError, status: int
) -> None:
    gateway.failure = failure
    answer = await client.post("/search", json={"text": "milk"})
    assert answer.status_code == status
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["detail"] == str(failure)


async def test_a_picture_in_a_file_has_a_link(
    client: Client, gateway: FakeGateway, roots: Path
) -> None:
    gateway.items = (shown(str(roots / "red.png")), shown("https://cdn.example/a.jpg"), shown(None))
    found = (await client.post("/search", json={"text": "milk"})).json()["items"]
    assert found[1]["image_url"] == "https://cdn.example/a.jpg"
    assert "image_url" not in found[2]
    answer = await client.get(found[0]["image_url"])
    assert answer.headers["content-type"] == "image/jpeg"
    (roots / "shown.jpg").write_bytes(answer.content)
    red, green, _ = Image.open(roots / "shown.jpg").convert("RGB").getpixel((5, 5))  # type: ignore[misc]
    assert red > 200
    assert green < 40


async def test_pictures_of_groups_have_links_too(client: Client, gateway: FakeGateway) -> None:
    of_object = ObjectGroup(
        box=(0, 0, 0.5, 1), score=0.9, items=(shown("https://cdn.example/a.jpg"),)
    )
    gateway.groups = (of_object,)
    found = (await client.post("/search", json={"image": URI, "objects": "auto"})).json()
    assert found["groups"][0]["items"][0]["image_url"] == "https://cdn.example/a.jpg"


@pytest.mark.parametrize("name", ["", "x", "AAAA", base64.urlsafe_b64encode(b"0" * 30).decode()])
async def test_a_link_that_was_not_made_here_shows_nothing(client: Client, name: str) -> None:
    assert (await client.get(f"/picture/{name}")).status_code == 404


async def test_a_link_stays_within_the_roots(
    client: Client, gateway: FakeGateway, roots: Path
) -> None:
    gateway.items = (shown("/etc/hostname"), shown(str(roots / "gone.png")))
    found = (await client.post("/search", json={"text": "milk"})).json()["items"]
    for item in found:
        answer = await client.get(item["image_url"])
        assert answer.status_code == 404
        assert "etc" not in answer.text
