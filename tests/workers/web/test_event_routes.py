import pytest

from tests.doubles.gateway import FakeGateway
from tests.workers.web.conftest import Client


async def test_a_click_reaches_the_topic(client: Client, gateway: FakeGateway) -> None:
    body = {"query_id": "q", "product_id": "p", "click_id": "c"}
    answer = await client.post("/events", json=body)
    assert (answer.status_code, answer.json()["click_id"]) == (202, "c")
    (click,) = gateway.clicks
    assert (click.query_id, click.product_id, click.click_id) == ("q", "p", "c")


async def test_a_click_of_user_behavior_insights(client: Client, gateway: FakeGateway) -> None:
    body = {
        "application": "shop",
        "action_name": "click",
        "query_id": "q",
        "client_id": "somebody",
        "timestamp": "2026-01-01T00:00:00Z",
        "event_attributes": {"object": {"object_id": "p"}, "position": {"ordinal": 2}},
    }
    assert (await client.post("/events", json=body)).status_code == 202
    assert (gateway.clicks[0].query_id, gateway.clicks[0].product_id) == ("q", "p")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query_id": "q"},
        {"query_id": "q", "product_id": "p", "type": "purchase"},
        {"query_id": "", "product_id": "p"},
        {"action_name": "click", "query_id": "q"},
        {"action_name": "click", "query_id": "q", "event_attributes": []},
        {"action_name": ["click"], "query_id": "q"},
    ],
)
async def test_what_is_no_click(
    client: Client, gateway: FakeGateway, body: dict[str, object]
) -> None:
    assert (await client.post("/events", json=body)).status_code == 422
    assert not gateway.clicks
