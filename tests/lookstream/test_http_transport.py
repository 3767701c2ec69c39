"""Over HTTP a client gets what it gets over Kafka: the same results, the same errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest

from lookstream import http_transport
from lookstream.errors import AccessDenied
from lookstream.http_transport import HttpTransport
from stream.errors import BrokerError, DecodeError, RequestTimeout
from stream.messages import Click, OfferPatch, ProductUpsert, Query
from stream.outcome_follower import End

Answer = Callable[[httpx.Request], httpx.Response]
QUERY = Query(query_id="q", text="milk", schema=2)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for between tries."""
    monkeypatch.setattr(http_transport, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(http_transport, "MOST_WAIT_S", 0.0)


@pytest.fixture
def over() -> Iterator[Callable[[Answer], HttpTransport]]:
    """Make a transport whose server is a function."""
    made: list[HttpTransport] = []

    def make(answer: Answer) -> HttpTransport:
        mock = httpx.MockTransport(answer)
        made.append(HttpTransport("http://shop", "ls_key", 1.0, transport=mock))
        return made[-1]

    yield make
    for one in made:
        one.close()


def problem(status: int, code: str, **more: Any) -> httpx.Response:
    body = {"code": code, "detail": "what is wrong", **more}
    return httpx.Response(status, content=orjson.dumps(body))


def test_a_result_is_the_one_of_the_topic(over: Callable[[Answer], HttpTransport]) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        item = {
            "product_id": "7",
            "item_id": "7#0",
            "probability": 0.5,
            "level": 1,
            "position": 1,
            "image": "/pictures/7.jpg",
            "image_url": "/picture/abc",
        }
        group = {"box": [0, 0, 0.5, 1], "score": 0.9, "items": [item]}
        body = {"query_id": "q", "items": [item], "groups": [group], "found": 1}
        return httpx.Response(200, json=body)

    result = over(answer).submit(QUERY).result(5)
    assert (result.items[0].product_id, result.items[0].probability, result.found) == ("7", 0.5, 1)
    assert result.groups[0].items == result.items
    assert asked[0].headers["authorization"] == "Bearer ls_key"
    assert orjson.loads(asked[0].content)["text"] == "milk"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(401, "no_key"), AccessDenied),
        (problem(403, "scope"), AccessDenied),
        (problem(422, "invalid_field", field="top"), DecodeError),
        (problem(413, "too_large"), DecodeError),
        (problem(504, "no_answer"), RequestTimeout),
        (problem(503, "kafka_unavailable"), BrokerError),
        (httpx.Response(502, content=b"<html>"), BrokerError),
    ],
)
def test_a_problem_is_the_error_of_the_topic(
    over: Callable[[Answer], HttpTransport], answer: httpx.Response, error: type[Exception]
) -> None:
    with pytest.raises(error):
        over(lambda _: answer).submit(QUERY).result(5)


def test_what_the_query_worker_says_is_in_the_result(
    over: Callable[[Answer], HttpTransport],
) -> None:
    refused = problem(422, "invalid_filter", field="filter", position=3)
    result = over(lambda _: refused).submit(QUERY).result(5)
    assert result.error is not None
    assert (result.error.code, result.error.field, result.error.position) == (
        "invalid_filter",
        "filter",
        3,
    )


def test_what_may_work_later_is_tried_again(over: Callable[[Answer], HttpTransport]) -> None:
    tries: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        if len(tries) == 1:
            raise httpx.ConnectError("refused", request=request)
        if len(tries) < 4:
            return problem(429, "too_many_requests")
        return httpx.Response(200, json={"query_id": "q", "items": []})

    assert over(answer).submit(QUERY).result(5).items == ()
    assert len(tries) == 4


def test_no_server_is_an_error_at_last(over: Callable[[Answer], HttpTransport]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(BrokerError, match="no web worker answers at http://shop"):
        over(answer).submit(QUERY).result(5)


def test_events_are_sent_in_their_order(over: Callable[[Answer], HttpTransport]) -> None:
    sent: list[tuple[str, dict[str, Any]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append((request.url.path, orjson.loads(request.content)))
        return httpx.Response(202, json={"event_id": f"0-{len(sent)}"})

    events = (
        ProductUpsert(product_id="a", title="A"),
        OfferPatch(product_id="a", price=1),
        Click(click_id="c", query_id="q", product_id="a"),
    )
    assert over(answer).send(events)[:2] == ["0-1", "0-2"]
    assert [path for path, _ in sent] == ["/products", "/products", "/events"]
    assert [body["type"] for _, body in sent] == ["upsert", "patch", "click"]


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ("searchable", End("applied")),
        ("superseded", End("superseded")),
        ("refused", End("refused", "no picture")),
        ("accepted", None),
    ],
)
def test_how_an_event_ended(
    over: Callable[[Answer], HttpTransport], state: str, end: End | None
) -> None:
    reason = {"reason": "no picture"} if state == "refused" else {}
    transport = over(lambda _: httpx.Response(200, json={"state": state, **reason}))
    assert transport.end_of("0-1", 1) == end
