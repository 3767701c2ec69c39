"""The fold of events into a product: whatever the order of arrival, the newest write stands."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.item import Item
from stream.delivery import State
from stream.messages import CatalogEvent, OfferPatch, ProductDelete, ProductUpsert
from tests.doubles.oracle import Field
from workers.ingest.event_clock import EventClock
from workers.ingest.group_clock import GroupClock, Verdict
from workers.ingest.last_write_wins import (
    Change,
    Product,
    UnknownProduct,
    apply_change,
    item_id,
    same_row,
)

DIM = 4
T = 1_700_000_000_000
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


def change(event: CatalogEvent, clock: int | EventClock, pictures: int = 1) -> Change:
    """A change with a clock, or with a version and a time that is later the higher it is."""
    made = content(event.title, pictures) if isinstance(event, ProductUpsert) else ()
    if isinstance(clock, int):
        clock = EventClock(version=clock, time=T + clock)
    return Change(event, clock, DIM, made)


def at(time: int, version: int | None = None) -> EventClock:
    return EventClock(version, T + time, has_own_time=True)


def fold(*changes: Change) -> Product:
    product: Product = ()
    for one in changes:
        product = apply_change(product, one).product
    return product


def upsert(title: str = "apple", **offer: Any) -> ProductUpsert:
    return ProductUpsert(product_id="p", title=title, **offer)


def patch(**offer: Any) -> OfferPatch:
    return OfferPatch(product_id="p", **offer)


DELETE = ProductDelete(product_id="p")


def visible(product: Product) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    return [(item.item_id, item.payload, item.offer) for item in product if not item.is_tombstone]


# Kinds of producers, by the clock of their event number n: all of them with versions, none, or a
# mixture whose versions grow with time.
versioned = st.integers(0, 20).map(lambda late: lambda n: EventClock(n, T + (7 * n + late) % 20))
timed = st.just(lambda n: EventClock(None, T + n))
mixed = st.lists(st.booleans(), min_size=9, max_size=9).map(
    lambda has: lambda n: EventClock(n // 2 if has[n] and n % 2 == 0 else None, T + n)
)
producers: st.SearchStrategy[Callable[[int], EventClock]] = st.one_of(versioned, timed, mixed)
# Clocks that contradict each other in every way.
any_clock = st.builds(
    EventClock,
    version=st.none() | st.integers(0, 4),
    time=st.integers(T, T + 4),
    has_own_time=st.booleans(),
)


@st.composite
def bodies(draw: st.DrawFn) -> list[CatalogEvent]:
    """Events of one product; the first is an upsert."""
    offers = st.fixed_dictionaries({}, optional=FIELDS)
    kinds = st.one_of(
        st.builds(upsert, st.sampled_from(["apple", "pear"])),
        offers.map(lambda offer: upsert(**offer)),
        offers.filter(bool).map(lambda offer: patch(**offer)),
        st.just(DELETE),
    )
    return [upsert("first"), *draw(st.lists(kinds, max_size=8))]


@st.composite
def events(draw: st.DrawFn) -> list[Change]:
    """A log whose order is that of its clocks."""
    chosen, clock, pictures = draw(bodies()), draw(producers), draw(st.integers(1, 3))
    return [change(event, clock(number), pictures) for number, event in enumerate(chosen)]


@st.composite
def contradictory_events(draw: st.DrawFn) -> list[Change]:
    chosen, pictures = draw(bodies()), draw(st.integers(1, 3))
    return [change(event, draw(any_clock), pictures) for event in chosen]


@given(events(), st.data())
def test_the_order_of_arrival_does_not_matter(log: list[Change], data: st.DataObject) -> None:
    """After the first upsert (which patches need), any order ends where the log's order ends."""
    shuffled = [log[0], *data.draw(st.permutations(log[1:]))]
    one, other = fold(*log), fold(*shuffled)
    assert visible(one) == visible(other)


@given(st.one_of(events(), contradictory_events()), st.data())
def test_delivering_a_part_of_the_log_again_changes_nothing(
    log: list[Change], data: st.DataObject
) -> None:
    """Whatever the clocks say: after a crash the log goes on from an earlier place."""
    once = fold(*log)
    again = data.draw(st.integers(0, len(log) - 1))
    twice = fold(*log, *log[again:])
    assert len(once) == len(twice)
    assert all(same_row(one, other) for one, other in zip(once, twice, strict=True))


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
    applied = apply_change(before, change(patch(price=5.0), 2))
    after = applied.product
    assert applied.state is State.APPLIED
    assert [item.offer for item in after] == [{"price": 5.0}] * 3
    assert all(new.vector is old.vector for new, old in zip(after, before, strict=True))


def test_fewer_pictures_leave_fewer_items() -> None:
    product = fold(change(upsert(), 1, pictures=3), change(upsert("pear"), 2, pictures=1))
    assert [item.item_id for item in product] == ["p#0"]


@pytest.mark.parametrize("late", [upsert("old"), patch(price=9.0), DELETE])
def test_an_older_event_is_superseded(late: CatalogEvent) -> None:
    product = fold(change(upsert("new", price=1.0), 5))
    applied = apply_change(product, change(late, 4))
    assert visible(applied.product) == visible(product)
    assert applied.state is State.SUPERSEDED
    assert applied.clocks_differ == {}


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


def test_a_delete_with_a_version_deletes_what_came_without() -> None:
    product = fold(change(upsert(), at(1)), change(DELETE, EventClock(5, T + 2)))
    assert visible(product) == []


def test_an_upsert_with_a_version_replaces_all_of_what_came_without() -> None:
    product = fold(
        change(upsert("apple", price=1.0), at(1)), change(upsert("pear", price=2.0), at(2, 3))
    )
    assert visible(product) == [("p#0", {"title": "pear"}, {"price": 2.0})]


def test_a_tombstone_among_versions_counts_by_its_time() -> None:
    log = [change(upsert("old"), at(1, 3)), change(DELETE, at(2))]
    assert visible(fold(*log)) == []
    assert visible(fold(*log, change(upsert("new"), at(3, 4)))) == [("p#0", {"title": "new"}, {})]
    for redelivered in (at(1, 3), EventClock(3, T + 9)):
        assert visible(fold(*log, change(upsert("old"), redelivered))) == []


@pytest.mark.parametrize(
    ("stands", "late"),
    [
        (at(5), at(4, 1)),  # the time of a version is before that of an event without
        (at(5, 1), at(4)),  # and the other way round
        (at(5, 3), at(6, 2)),  # a lower version with a later time
    ],
)
def test_what_loses_because_the_clocks_differ_is_reported(
    stands: EventClock, late: EventClock
) -> None:
    before = fold(change(upsert("new"), stands))
    applied = apply_change(before, change(upsert("other", price=2.0), late))
    assert visible(applied.product) == [("p#0", {"title": "new"}, {"price": 2.0})]
    assert list(applied.clocks_differ) == ["content"]
    clock = applied.clocks_differ["content"]
    assert (clock.version_time if clock.by_version else clock.time) == stands.time


def test_an_ordinary_late_event_is_not_reported() -> None:
    """Its record's timestamp is when it arrived, and contradicts no version."""
    before = fold(change(upsert("new"), EventClock(5, T + 1)))
    applied = apply_change(before, change(upsert("late"), EventClock(4, T + 2)))
    assert (applied.state, applied.clocks_differ) == (State.SUPERSEDED, {})


@pytest.mark.parametrize(
    ("stored", "clock", "wins"),
    [
        (7, EventClock(6, T), False),
        (7, EventClock(7, T), True),
        (7, EventClock(None, T), True),
        (T, EventClock(None, T - 1), False),
        (T, EventClock(None, T), True),
        (T, EventClock(1, T - 1), False),
        (T, EventClock(1, T + 1), True),
    ],
)
def test_rows_from_before_there_were_two_clocks_are_read(
    stored: int, clock: EventClock, wins: bool
) -> None:
    """They hold one integer a group: below 10¹¹ a version, else a time in milliseconds."""
    (new,) = fold(change(upsert("old"), at(0)))
    old = (msgspec.structs.replace(new, versions={"content": stored}),)
    applied = apply_change(old, change(upsert("new"), clock))
    assert visible(applied.product)[0][1] == {"title": "new" if wins else "old"}
    assert applied.state is (State.APPLIED if wins else State.SUPERSEDED)


@given(st.lists(any_clock, max_size=6))
def test_a_clock_is_stored_as_json(writes: list[EventClock]) -> None:
    clock = GroupClock()
    for write in writes:
        clock, _ = clock.after(write)
    assert GroupClock.of_row(orjson.loads(orjson.dumps(clock.to_row()))) == clock


@given(st.lists(any_clock, max_size=12))
def test_the_oracle_of_the_state_machine_has_the_same_rule(writes: list[EventClock]) -> None:
    """Written down twice, independently: as a clock that is kept, and over the whole history."""
    clock, oracle, standing = GroupClock(), Field(), None
    for number, write in enumerate(writes):
        clock, verdict = clock.after(write)
        standing = number if verdict is Verdict.STANDS else standing
        oracle.write(write.version, write.time, number)
        assert oracle.value == standing
