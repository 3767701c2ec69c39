import pytest

from tests.doubles.gateway import FakeGateway
from tests.workers.web.conftest import Client


async def test_a_click_reaches_the_topic(client: Client, gateway: FakeGateway) -> None:
    body = {"query_id": "q", "product_id": "p", "click_id": "c"}
    answer = await client.post("/events", json=body)
    assert (answer.status_code, answer.json()["click_id"]) == (202, "c")
    (click,) = gateway.clicks
    assert (click.query_id, click.product_id, click.click_id) == ("q", "p", "c")


@pytest.mark.parametrize("action", ["click", "basket", "purchase"])
async def test_what_was_done(client: Client, gateway: FakeGateway, action: str) -> None:
    body = {"query_id": "q", "product_id": "p", "action": action}
    assert (await client.post("/events", json=body)).status_code == 202
    assert gateway.clicks[0].action == action


@pytest.mark.parametrize(
    ("name", "action"),
    [("click", "click"), ("add_to_cart", "basket"), ("purchase", "purchase")],
)
async def test_an_event_of_user_behavior_insights(
    client: Client, gateway: FakeGateway, name: str, action: str
) -> None:
    body = {
        "application": "shop",
        "action_name": name,
        "query_id": "q",
        "client_id": "somebody",
        "timestamp": "2026-01-01T00:00:00Z",
        "event_attributes": {"object": {"object_id": "p"}, "position": {"ordinal": 2}},
    }
    assert (await client.post("/events", json=body)).status_code == 202
    [click] = gateway.clicks
    assert (click.query_id, click.product_id, click.action) == ("q", "p", action)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query_id": "q"},
        {"query_id": "q", "product_id": "p", "type": "purchase"},
        {"query_id": "q", "product_id": "p", "action": "return"},
        {"query_id": "", "product_id": "p"},
        {"action_name": "click", "query_id": "q"},
        {"action_name": "click", "query_id": "q", "event_attributes": []},
        {"action_name": ["click"], "query_id": "q"},
        {
            "action_name": "item_hover",
            "query_id": "q",
            "event_attributes": {"object": {"object_id": "p"}},
        },
    ],
)
async def test_what_is_no_click(
    client: Client, gateway: FakeGateway, body: dict[str, object]
) -> None:
    assert (await client.post("/events", json=body)).status_code == 422
    assert not gateway.clicks
