"""The parts of `bench firstday`: the export, the picture host, the account, the questions."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from benchmarks.shop.account import account
from benchmarks.shop.export import (
    Product,
    clean_export,
    make_products,
    messy_export,
    next_night,
    write_export,
)
from benchmarks.shop.picture_hosts import (
    LOST,
    REQUESTS_PER_S,
    HostilePictures,
    ShopPictures,
    draw,
)
from benchmarks.shop.questions import Questions
from index.item import Item
from stream.dead_letter import DeadLetter
from stream.messages import ProductUpsert, Query, QueryError, Result
from stream.records import Record
from workers.ingest.missing import PARTIAL
from workers.ingest.read_event import read_event
from workers.jobs.catalog_source import folder_source
from workers.jobs.produce import RefusedRow, catalog_events

HOST = "http://host.test"
PRODUCTS = make_products(1000, seed=0)
SOME = PRODUCTS[:250]


def record(key: str, value: bytes = b"") -> Record:
    return Record(
        topic="catalog", partition=0, offset=0, key=key.encode(), value=value, timestamp_ms=0
    )


def events(folder: Path) -> tuple[dict[int, ProductUpsert], list[RefusedRow]]:
    """What the worker reads of an export, by line, and the rows that `produce` refuses."""
    refused: list[RefusedRow] = []
    read = {}
    for one in catalog_events(folder_source(folder), on_refused=refused.append):
        event = read_event(record(one.key, one.value)).event
        assert isinstance(event, ProductUpsert)
        read[one.line] = event
    return read, refused


@pytest.mark.slow
def test_the_messy_export_means_what_the_clean_one_says(tmp_path: Path) -> None:
    clean, none = events(write_export(tmp_path / "clean", clean_export(PRODUCTS, HOST)))
    assert (len(clean), none) == (len(PRODUCTS), [])
    rows = messy_export(PRODUCTS, HOST, seed=0)
    messy, refused = events(write_export(tmp_path / "messy", rows, byte_order_mark=True))
    by_id = {event.product_id: event for event in clean.values()}
    for line, event in messy.items():
        product = rows[line - 1].product
        if product is None:
            continue
        twin = by_id[product.product_id]
        for name in ("product_id", "title", "category", "image", "images", "price", "in_stock"):
            assert getattr(event, name) == getattr(twin, name), (name, rows[line - 1].text)
        assert isinstance(event.attributes, dict)
        assert event.attributes["material"] == product.material
    # What the worker can read and must refuse all the same has only a picture, which is lost.
    wrong = {line for line, row in enumerate(rows, start=1) if row.product is None}
    only_pictures = {line for line in wrong & messy.keys() if not messy[line].title}
    assert {row.line for row in refused} == wrong - only_pictures
    assert len(only_pictures) == sum(one.is_only_picture for one in PRODUCTS) > 0
    assert len({row.reason for row in refused}) > 10
    assert all(row.reason for row in refused)


def test_the_next_night_differs_in_a_few_prices_and_titles() -> None:
    pairs = list(zip(PRODUCTS, next_night(PRODUCTS), strict=True))
    assert sum(one.price != other.price for one, other in pairs) == 100
    assert all(float(f"{other.price:.2f}") == other.price for _, other in pairs)
    assert sum(one.title != other.title for one, other in pairs) == 10
    assert all(one.pictures == other.pictures for one, other in pairs)


def test_no_two_pictures_are_alike() -> None:
    pictures = [draw(one, view) for one in PRODUCTS[:200] for view in (0, 1, 9)]
    assert len(set(pictures)) == len(pictures)


@pytest.fixture
def host() -> Iterator[HostilePictures]:
    """A host whose time stands still, and which is asked without a network."""
    slept: list[float] = []
    with HostilePictures(SOME, clock=lambda: sum(slept), sleep=slept.append) as server:
        yield server


def test_a_host_sends_what_changed_and_nothing_else() -> None:
    with ShopPictures(PRODUCTS[:20]) as host:
        for product in PRODUCTS[:20]:
            [path] = product.pictures[:1]
            first = host.reply_to(path, {})
            assert first.body == draw(product)
            conditions = {
                "if-none-match": first.headers.get("ETag", ""),
                "if-modified-since": first.headers.get("Last-Modified", ""),
            }
            conditions = {name: value for name, value in conditions.items() if value}
            assert len(conditions) == 1
            assert host.reply_to(path, conditions).status == 304
            host.has(path, draw(product, 9), made=1_900_000_000)
            assert host.reply_to(path, conditions).body == draw(product, 9)
            assert host.downloads[path] == 2


def test_who_asks_too_often_is_refused_for_a_while() -> None:
    now = 0.0
    path = next(one.pictures[0] for one in SOME if not one.loses_picture)
    with HostilePictures(SOME, clock=lambda: now, sleep=lambda _: None) as host:
        answers = [host.reply_to(path, {}) for _ in range(REQUESTS_PER_S + 2)]
        assert [one.status for one in answers] == [200] * REQUESTS_PER_S + [429, 429]
        assert all("Retry-After" in one.headers for one in answers[-2:])
        now = 3.0
        assert host.reply_to(path, {}).status == 200


def test_one_picture_in_fifty_is_lost_in_five_ways(host: HostilePictures) -> None:
    assert len(host.lost) == len(SOME) // 50
    replies = [host.replies[path][0] for path in host.lost[: len(LOST)]]
    whole = [draw(one) for one in SOME if one.loses_picture][: len(LOST)]
    assert all(reply.body != picture for reply, picture in zip(replies, whole, strict=True))
    assert sum(reply.hold is not None for reply in replies) == 1
    assert {reply.status for reply in replies} == {200, 404, 500}


def item(product: Product, **changed: Any) -> Item:
    offer = {
        "price": product.price,
        "in_stock": product.in_stock,
        "attributes": {"material": product.material},
    }
    image = HOST + product.pictures[0]
    return Item(
        item_id=product.product_id,
        product_id=product.product_id,
        prototype=0,
        payload={"title": product.title, "image": image} | changed.pop("payload", {}),
        offer=offer | changed,
    )


def letter(product: Product, reason: str) -> DeadLetter:
    return DeadLetter(
        record=record(product.product_id),
        reason=reason,
        error_class=PARTIAL,
        attempts=1,
        trace_id="",
        rejected_ms=0,
        partition=0,
        offset=0,
    )


def refusals(*rows: tuple[int, str]) -> dict[str, Any]:
    return {"refused": len(rows), "refusals": [{"line": one, "reason": why} for one, why in rows]}


def test_each_row_is_accounted_for() -> None:
    products = PRODUCTS[10:20]
    rows = messy_export(products, HOST, seed=0)
    whole, gone, cheap, other, partial, silent, refused, *rest = products
    index = [
        item(whole),
        item(cheap, price=cheap.price + 1),
        item(other, payload={"title": "Other"}),
        item(partial, payload={"image": None}),
        item(silent, payload={"image": None}),
        *map(item, rest),
    ]
    letters = [letter(partial, f"1 of 1 pictures: {HOST}{partial.pictures[0]}: answered 404")]
    found = account(rows, HOST, refusals((7, ""), (8, "too dear")), letters, index)
    assert (found.searchable, found.partial) == (len(products) - 6, 1)
    assert found.lost_silently == 5  # not there, two wrong, a picture less, and refused in silence
    assert (found.refused, found.refused_without_reason, found.wrongly_refused) == (2, 1, 2)
    assert len(found.examples) == 7
    named = " ".join(found.examples)
    assert all(one.product_id in named for one in (gone, cheap, other, silent, refused))


def test_a_wrong_row_must_be_refused() -> None:
    rows = messy_export(PRODUCTS[9:10], HOST, seed=0)
    assert account(rows, HOST, refusals(), [], []).wrongly_accepted == 1
    found = account(rows, HOST, refusals((1, "what is wrong")), [], [])
    assert (found.refused, found.wrong) == (1, 0)


class Answers:
    """A client whose queries are answered by the test."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, Future[Result]]] = []

    def submit(self, query: Query) -> Future[Result]:
        answer: Future[Result] = Future()
        self.asked.append((query.text, answer))
        return answer


def test_an_answer_counts_from_the_moment_when_it_was_to_be_asked() -> None:
    now = 100.0
    client = Answers()
    questions = Questions(client, ["mug", "rug", "shirt", "scarf"], 2.0, clock=lambda: now)
    questions.ask()
    now = 104.5  # nothing could be asked meanwhile
    questions.ask()
    assert [text for text, _ in client.asked] == ["mug", "rug", "shirt"]
    now = 105.0
    client.asked[0][1].set_result(Result(query_id="0"))
    client.asked[1][1].set_result(Result(query_id="1"))
    client.asked[2][1].set_result(
        Result(query_id="2", error=QueryError(code="search_unavailable", message="no index"))
    )
    assert questions.figures(0.0) == {"queries": 3, "unanswered": 1, "p50_ms": 4000, "p95_ms": 4900}
