"""The fold of events into a product: whatever the order, the newest word stands."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.item import Item
from stream.delivery import State
from stream.messages import CatalogEvent, OfferPatch, ProductDelete, ProductUpsert
from stream.records import Record
from workers.ingest.last_write_wins import (
    Change,
    Product,
    UnknownProduct,
    apply_change,
    event_version,
    item_id,
    same_row,
)

DIM = 4
FIELDS: dict[str, Any] = {
    "price": st.one_of(st.none(), st.sampled_from([1.0, 2.0, 3.0])),
    "currency": st.one_of(st.none(), st.sampled_from(["EUR", "SEK"])),
    "in_stock": st.one_of(st.none(), st.booleans()),
}


def content(title: str, pictures: int = 1) -> Product:
    return tuple(
        Item(
            item_id=item_id("p", n),
            product_id="p",
            prototype=0,
            vector=np.eye(DIM, dtype=np.float32)[0],
            payload={"title": title},
            digest=f"{title}-{n}",
        )
        for n in range(pictures)
    )


def change(event: CatalogEvent, version: int, pictures: int = 1) -> Change:
    made = content(event.title, pictures) if isinstance(event, ProductUpsert) else ()
    return Change(event, version, DIM, made)


def fold(*changes: Change) -> Product:
    product: Product = ()
    for one in changes:
        product, _ = apply_change(product, one)
    return product


def upsert(title: str = "apple", **offer: Any) -> ProductUpsert:
    return ProductUpsert(product_id="p", title=title, **offer)


def patch(**offer: Any) -> OfferPatch:
    return OfferPatch(product_id="p", **offer)


DELETE = ProductDelete(product_id="p")


def visible(product: Product) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    return [(item.item_id, item.payload, item.offer) for item in product if not item.is_tombstone]


@st.composite
def events(draw: st.DrawFn) -> list[Change]:
    """Events of one product, each with a version of its own; the first is an upsert."""
    offers = st.fixed_dictionaries({}, optional=FIELDS)
    kinds = st.one_of(
        st.builds(upsert, st.sampled_from(["apple", "pear"])),
        offers.map(lambda offer: upsert(**offer)),
        offers.filter(bool).map(lambda offer: patch(**offer)),
        st.just(DELETE),
    )
    chosen = [upsert("first"), *draw(st.lists(kinds, max_size=6))]
    pictures = draw(st.integers(1, 3))
    return [change(event, version, pictures) for version, event in enumerate(chosen)]


@given(events(), st.data())
def test_the_order_of_arrival_does_not_matter(log: list[Change], data: st.DataObject) -> None:
    """After the first upsert (which patches need), any order ends where the log's order ends."""
    shuffled = [log[0], *data.draw(st.permutations(log[1:]))]
    one, other = fold(*log), fold(*shuffled)
    assert visible(one) == visible(other)
    assert [item.versions for item in one] == [item.versions for item in other]


@given(events())
def test_applying_the_log_twice_changes_nothing(log: list[Change]) -> None:
    once, twice = fold(*log), fold(*log, *log)
    assert len(once) == len(twice)
    assert all(same_row(one, other) for one, other in zip(once, twice, strict=True))


def test_an_upsert_replaces_content_and_keeps_the_offer_it_does_not_mention() -> None:
    product = fold(change(upsert("apple", price=2.0), 1), change(upsert("pear", in_stock=True), 2))
    assert visible(product) == [("p#0", {"title": "pear"}, {"price": 2.0, "in_stock": True})]


def test_null_clears_a_field_of_the_offer() -> None:
    product = fold(change(upsert(price=2.0), 1), change(patch(price=None), 2))
    assert visible(product) == [("p#0", {"title": "apple"}, {})]


def test_a_patch_touches_every_picture_and_no_vector() -> None:
    before = fold(change(upsert(), 1, pictures=3))
    after, state = apply_change(before, change(patch(price=5.0), 2))
    assert state is State.APPLIED
    assert [item.offer for item in after] == [{"price": 5.0}] * 3
    assert all(new.vector is old.vector for new, old in zip(after, before, strict=True))


def test_fewer_pictures_leave_fewer_items() -> None:
    product = fold(change(upsert(), 1, pictures=3), change(upsert("pear"), 2, pictures=1))
    assert [item.item_id for item in product] == ["p#0"]


@pytest.mark.parametrize("late", [upsert("old"), patch(price=9.0), DELETE])
def test_an_older_event_is_superseded(late: CatalogEvent) -> None:
    product = fold(change(upsert("new", price=1.0), 5))
    after, state = apply_change(product, change(late, 4))
    assert visible(after) == visible(product)
    assert state is State.SUPERSEDED


def test_a_late_upsert_does_not_raise_the_dead() -> None:
    product = fold(change(upsert(), 1), change(DELETE, 3), change(upsert("late"), 2))
    assert visible(product) == []
    assert visible(fold(change(DELETE, 3), change(upsert(), 2))) == []


def test_a_newer_upsert_brings_a_deleted_product_back_without_its_old_offer() -> None:
    product = fold(change(upsert(price=2.0), 1), change(DELETE, 2), change(upsert("back"), 3))
    assert visible(product) == [("p#0", {"title": "back"}, {})]


def test_a_patch_of_a_product_never_seen_is_refused() -> None:
    with pytest.raises(UnknownProduct, match="no product 'p' to patch: send its upsert first"):
        apply_change((), change(patch(price=1.0), 1))


def test_the_version_is_the_producers_else_the_event_time_else_the_logs() -> None:
    record = Record(topic="t", partition=0, offset=3, key=b"p", value=b"", timestamp_ms=1000)
    assert event_version(ProductDelete(product_id="p", version=7, event_time=50), record) == 7
    assert event_version(ProductDelete(product_id="p", event_time=50), record) == 50
    assert event_version(DELETE, record) == 1000
