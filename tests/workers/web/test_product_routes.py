import orjson
import pytest

from stream.messages import OfferPatch, ProductDelete, ProductUpsert
from stream.outcome_follower import End
from tests.doubles.gateway import FakeGateway
from tests.workers.web.conftest import Client
from workers.web import product_routes

NDJSON = {"Content-Type": "application/x-ndjson"}


async def test_each_method_sends_its_event(client: Client, gateway: FakeGateway) -> None:
    assert (await client.put("/products/a%2Fb", json={"title": "A"})).status_code == 202
    assert (await client.patch("/products/a", json={"price": 2})).status_code == 202
    assert (await client.delete("/products/a?version=7")).status_code == 202
    assert (await client.post("/products", json={"product_id": "c"})).status_code == 202
    assert gateway.events == [
        ProductUpsert(product_id="a/b", title="A"),
        OfferPatch(product_id="a", price=2.0),
        ProductDelete(product_id="a", version=7),
        ProductUpsert(product_id="c"),
    ]


async def test_an_export_is_taken_as_kafka_takes_it(client: Client, gateway: FakeGateway) -> None:
    answer = await client.post("/products", json={"product_id": 7, "price": "2,50 EUR"})
    assert gateway.events == [ProductUpsert(product_id="7", price=2.5, currency="EUR")]
    assert len(answer.json()["coerced"]) > 1


async def test_waiting_tells_how_the_event_ended(client: Client, gateway: FakeGateway) -> None:
    gateway.ends = {
        "a": End("applied"),
        "b": End("superseded"),
        "c": End("refused", "no picture at http://x"),
    }
    answers = [
        await client.put(f"/products/{name}?wait=searchable", json={"title": "T"})
        for name in "abcd"
    ]
    assert [one.status_code for one in answers] == [200, 200, 422, 202]
    assert answers[0].json()["state"] == "searchable"
    assert answers[1].json()["state"] == "superseded"
    assert answers[2].json()["detail"] == "no picture at http://x"
    assert "not applied yet" in answers[3].json()["note"]


async def test_an_event_can_be_asked_for_later(client: Client, gateway: FakeGateway) -> None:
    gateway.ends = {"a": End("applied"), "b": End("refused", "no picture")}
    ids = [
        (await client.put(f"/products/{name}", json={"title": "T"})).json()["event_id"]
        for name in "abc"
    ]
    found = [(await client.get(f"/events/{event_id}")).json() for event_id in (*ids, "7-7")]
    assert [one["state"] for one in found] == ["searchable", "refused", "accepted", "accepted"]
    assert found[1]["reason"] == "no picture"
    answer = await client.get("/events/x")
    assert (answer.status_code, answer.json()["field"]) == (422, "event_id")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("wait=now", "wait"),
        ("wait=searchable&timeout_s=0", "timeout_s"),
        ("wait=searchable&timeout_s=nan", "timeout_s"),
        ("wait=searchable&timeout_s=1e9", "timeout_s"),
        ("wait=searchable&timeout_s=x", "timeout_s"),
    ],
)
async def test_nothing_is_sent_where_the_request_is_wrong(
    client: Client, gateway: FakeGateway, query: str, field: str
) -> None:
    answer = await client.put(f"/products/a?{query}", json={"title": "T"})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert not gateway.events


@pytest.mark.parametrize(
    "body", [{"product_id": "b"}, {"type": "delete"}, {"price": -1}, {"price": []}]
)
async def test_a_body_that_fits_not(
    client: Client, gateway: FakeGateway, body: dict[str, object]
) -> None:
    assert (await client.put("/products/a", json=body)).status_code == 422
    assert not gateway.events


async def test_lines_that_cannot_be_read_keep_no_others_back(
    client: Client, gateway: FakeGateway
) -> None:
    lines = [b'{"product_id": "a"}', b"", b"{", b'{"title": "T"}', b'{"product_id": "b"}']
    answer = await client.post("/products", content=b"\n".join(lines), headers=NDJSON)
    assert answer.status_code == 207
    report = answer.json()
    assert report["accepted"] == 2
    assert [one["line"] for one in report["failed"]] == [3, 4]
    assert report["failed"][1]["field"] == "product_id"
    assert [event.product_id for event in gateway.events] == ["a", "b"]


async def test_all_lines_good_or_all_bad(client: Client) -> None:
    good = await client.post("/products", content=b'{"product_id": "a"}\n', headers=NDJSON)
    bad = await client.post("/products", content=b"x\n", headers=NDJSON)
    assert (good.status_code, bad.status_code) == (202, 422)


async def test_events_of_one_product_keep_their_order(
    client: Client, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product_routes, "AT_ONCE", 3)
    lines = [orjson.dumps({"product_id": "a", "title": str(at)}) for at in range(20)]
    await client.post("/products", content=b"\n".join(lines), headers=NDJSON)
    titles = [one.title for one in gateway.events if isinstance(one, ProductUpsert)]
    assert titles == [str(at) for at in range(20)]


async def test_too_many_lines(
    client: Client, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product_routes, "MOST_LINES", 2)
    body = b'{"product_id": "a"}\n' * 3
    answer = await client.post("/products", content=body, headers=NDJSON)
    assert (answer.status_code, gateway.events) == (413, [])
