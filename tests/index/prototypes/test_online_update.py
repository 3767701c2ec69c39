"""Online update: prototypes are added, move, merge and split, and old names lead to new ones."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import BankError
from index.prototypes.aliases import Aliases
from index.prototypes.bank import Name, PrototypeBank
from index.prototypes.online_update import OnlineUpdate, UpdateRules
from index.prototypes.split_test import split_test
from index.vectors import Matrix
from tests.index.conftest import unit_vectors

names = st.integers(0, 12)
retirements = st.lists(
    st.tuples(names, st.lists(names, min_size=1, max_size=3).map(tuple)), max_size=20
)
merges = st.lists(st.tuples(names, names), max_size=12)


def cloud(centre: Matrix, count: int, spread: float = 0.3, seed: int = 0) -> Matrix:
    noise = np.random.default_rng(seed).standard_normal((count, len(centre)))
    found = centre + spread * noise / np.sqrt(len(centre))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def at_cosine(one: Matrix, cosine: float, seed: int = 9) -> Matrix:
    other = np.random.default_rng(seed).standard_normal(len(one))
    other -= (other @ one) * one
    other /= np.linalg.norm(other)
    return np.asarray(cosine * one + np.sqrt(1 - cosine**2) * other, np.float32)


def applied(steps: list[tuple[int, tuple[int, ...]]]) -> Aliases:
    aliases = Aliases()
    for name, into in steps:
        aliases.retire(name, *into)
    return aliases


# Aliases.


@settings(max_examples=100)
@given(steps=retirements)
def test_every_name_leads_to_current_ones_in_one_step(
    steps: list[tuple[int, tuple[int, ...]]],
) -> None:
    aliases = applied(steps)
    for name in range(13):
        current = aliases.resolve(name)
        assert current
        assert len(set(current)) == len(current)
        assert not any(one in aliases for one in current)
        assert all(aliases.resolve(one) == (one,) for one in current)


@settings(max_examples=100)
@given(steps=retirements, more=names, into=names)
def test_a_retired_name_follows_what_it_led_to(
    steps: list[tuple[int, tuple[int, ...]]], more: int, into: int
) -> None:
    aliases = applied(steps)
    before = {name: aliases.resolve(name) for name in range(13)}
    aliases.retire(more, into)
    for name, current in before.items():
        now = {one for old in current for one in aliases.resolve(old)}
        assert set(aliases.resolve(name)) == now


@settings(max_examples=100)
@given(pairs=merges, data=st.data())
def test_the_order_of_merges_does_not_matter(
    pairs: list[tuple[int, int]], data: st.DataObject
) -> None:
    def groups(order: list[tuple[int, int]]) -> set[frozenset[int]]:
        aliases = applied([(one, (other,)) for one, other in order])
        together: dict[tuple[Name, ...], set[int]] = {}
        for name in range(13):
            together.setdefault(aliases.resolve(name), set()).add(name)
        assert all(len(current) == 1 and current[0] in group for current, group in together.items())
        return {frozenset(group) for group in together.values()}

    assert groups(pairs) == groups(data.draw(st.permutations(pairs)))


@settings(max_examples=50)
@given(steps=retirements)
def test_retiring_a_name_again_changes_nothing(steps: list[tuple[int, tuple[int, ...]]]) -> None:
    aliases = applied(steps)
    again = aliases.copy()
    for name in list(aliases):
        again.retire(name, *aliases.resolve(name))
    assert again == aliases


def test_aliases_are_stored_with_the_bank(tmp_path: Path) -> None:
    assert len(Aliases.load(tmp_path)) == 0
    aliases = Aliases()
    aliases.retire("a", "b")
    aliases.retire("b", "b/1", "b/2")
    aliases.retire(3, "a")
    aliases.save(tmp_path)
    found = Aliases.load(tmp_path)
    assert found == aliases
    assert found.resolve(3) == ("b/1", "b/2")
    assert "3" not in found
    found.retire("b/1", "c")
    assert found.resolve("a") == ("c", "b/2")
    assert aliases.resolve("a") == ("b/1", "b/2")


@pytest.mark.parametrize(
    "damaged",
    [
        b"cut",
        b'{"aliases": [["a", []]]}',
        b'{"aliases": [["a", ["a"]]]}',
        b'{"aliases": [["a", ["b"]], ["b", ["a"]]]}',
        b'{"aliases": [["a", ["b"]], ["a", ["c"]]]}',
    ],
)
def test_damaged_aliases_are_an_error(damaged: bytes, tmp_path: Path) -> None:
    (tmp_path / "aliases.json").write_bytes(damaged)
    with pytest.raises(BankError, match="no readable aliases"):
        Aliases.load(tmp_path)
    with pytest.raises(BankError, match="lead nowhere"):
        Aliases().retire("a")


# Split test.


@pytest.mark.parametrize("dim", [16, 512])
def test_one_cluster_is_not_split_and_two_are(dim: int) -> None:
    one, other = unit_vectors(2, dim, seed=5)
    assert [split_test(cloud(one, 32, 0.6, seed), 4.0) is None for seed in range(30)].count(
        False
    ) <= 1
    both = np.concatenate([cloud(one, 20), cloud(other, 12, seed=1)])
    for order in (np.arange(32), np.random.default_rng(1).permutation(32)):
        second = split_test(both[order], 4.0)
        assert second is not None
        assert len({bool(second[at] ^ (order[at] < 20)) for at in range(32)}) == 1


def test_copies_of_one_picture_are_not_split() -> None:
    assert split_test(np.repeat(unit_vectors(1), 32, axis=0), 4.0) is None
    assert split_test(unit_vectors(2), 4.0) is None


# OnlineUpdate.


def start(count: int = 4, dim: int = 64) -> PrototypeBank:
    return PrototypeBank(
        unit_vectors(count, dim),
        model_id="m",
        built_from=10 * count,
        names=[f"p{number}" for number in range(count)],
        counts=np.full(count, 10),
    )


def total(bank: PrototypeBank) -> int:
    assert bank.counts is not None
    return int(bank.counts.sum())


def test_a_new_product_gets_a_prototype_and_its_next_picture_joins() -> None:
    update = OnlineUpdate(start())
    stranger = unit_vectors(1, 64, seed=7)[0]
    joined = update.observe(np.stack([stranger, start().centroids[2], at_cosine(stranger, 0.9)]))
    assert joined == ["new-1", "p2", "new-1"]
    bank, aliases = update.publish()
    assert set(bank.names) == {"p0", "p1", "p2", "p3", "new-1"}
    assert len(aliases) == 0
    assert total(bank) == 43
    assert bank.origin.created_from == start().version


def test_a_label_names_a_new_prototype_or_becomes_an_alias_of_a_near_one() -> None:
    update = OnlineUpdate(start())
    far, near = unit_vectors(1, 64, seed=7)[0], at_cosine(start().centroids[1], 0.8)
    assert update.observe(np.stack([far, near]), ["sku 9", "sku 10"]) == ["sku 9", "p1"]
    # From then on the label decides, wherever the picture lies.
    assert update.observe(np.stack([near, far]), ["sku 9", "sku 10"]) == ["sku 9", "p1"]
    bank, aliases = update.publish()
    assert aliases.resolve("sku 10") == ("p1",)
    assert "sku 9" in bank.rows


def test_a_prototype_follows_its_members() -> None:
    bank = start()
    target = at_cosine(bank.centroids[0], 0.9)
    update = OnlineUpdate(bank, rules=UpdateRules(min_step=0.1))
    before = bank.centroids[0] @ target
    for _ in range(5):
        update.observe(np.repeat(target[None], 10, axis=0), ["p0"] * 10)
        now, _ = update.publish()
        after = now.centroids[now.rows["p0"]] @ target
        assert after > before
        before = after
    assert before > 0.999
    for name in ("p1", "p2", "p3"):
        assert np.allclose(now.centroids[now.rows[name]], bank.centroids[bank.rows[name]])


def test_prototypes_that_became_alike_are_merged() -> None:
    bank = start()
    close = at_cosine(bank.centroids[0], 0.8)
    update = OnlineUpdate(bank)
    update.observe(close[None], ["p1"])
    update.observe(np.repeat(bank.centroids[:1], 200, axis=0), ["p1"] * 200)
    now, aliases = update.publish()
    assert set(now.names) == {"p1", "p2", "p3"}
    assert aliases.resolve("p0") == ("p1",)
    assert total(now) == 241
    assert update.observe(bank.centroids[:1], ["p0"]) == ["p1"]


def test_unchanged_neighbours_are_not_merged() -> None:
    one = unit_vectors(1, 64)[0]
    bank = PrototypeBank(np.stack([one, at_cosine(one, 0.99), -one]), names=["a", "b", "c"])
    update = OnlineUpdate(bank)
    assert update.publish()[0] is bank
    update.observe(-one[None])
    assert len(update.publish()[0]) == 3


def test_a_prototype_of_two_groups_is_split() -> None:
    bank = start()
    other = at_cosine(bank.centroids[0], 0.3)
    update = OnlineUpdate(bank)
    one_kind, other_kind = cloud(bank.centroids[0], 60), cloud(other, 30, seed=3)
    mixed = np.concatenate([one_kind, other_kind])[np.random.default_rng(0).permutation(90)]
    update.observe(mixed, ["p0"] * 90)
    now, aliases = update.publish()
    assert aliases.resolve("p0") == ("p0/1", "p0/2")
    assert total(now) == 130
    assert now.counts is not None
    assert now.counts[now.rows["p0/1"]] > now.counts[now.rows["p0/2"]]
    assert now.centroids[now.rows["p0/1"]] @ bank.centroids[0] > 0.95
    assert now.centroids[now.rows["p0/2"]] @ other > 0.95
    assert update.observe(np.stack([other, bank.centroids[0]]), ["p0", "p0"]) == ["p0/2", "p0/1"]


stream = st.lists(
    st.tuples(st.integers(0, 7), st.none() | st.sampled_from(["p0", "p1", "x", "y"]), names),
    max_size=60,
)


@settings(max_examples=40)
@given(batches=st.lists(stream, max_size=4))
def test_counts_and_names_are_preserved_for_any_input(
    batches: list[list[tuple[int, str | None, int]]],
) -> None:
    centres = unit_vectors(8, 8, seed=2)
    rules = UpdateRules(
        merge_cosine=0.9, split_cosine=0.8, reservoir=16, min_members=12, min_separation=3.0
    )

    def run() -> tuple[PrototypeBank, Aliases, set[Name]]:
        update = OnlineUpdate(start(3, 8), rules=rules)
        known: set[Name] = set(update.bank.names)
        for batch in batches:
            vectors = [cloud(centres[centre], 1, 0.2, seed)[0] for centre, _, seed in batch]
            labels = [label for _, label, _ in batch]
            if batch:
                known |= set(update.observe(np.stack(vectors), labels))
                known |= {label for label in labels if label is not None}
            bank, aliases = update.publish()
            known |= set(bank.names)
            update = OnlineUpdate(bank, aliases, rules)  # a restart forgets no name
        bank, aliases = update.publish()
        return bank, aliases, known

    bank, aliases, known = run()
    assert total(bank) == 30 + sum(len(batch) for batch in batches)
    for name in known:
        assert all(current in bank.rows for current in aliases.resolve(name))
    assert not any(name in aliases for name in bank.names)
    again = run()
    assert (again[0].version, again[1]) == (bank.version, aliases)


def test_invalid_input_is_an_error() -> None:
    update = OnlineUpdate(start())
    with pytest.raises(BankError, match="wants"):
        update.observe(unit_vectors(2, 8))
    with pytest.raises(BankError, match="a label or None"):
        update.observe(unit_vectors(2, 64), ["a"])
    with pytest.raises(BankError, match="a label or None"):
        update.observe(unit_vectors(2, 64), [])
    with pytest.raises(BankError, match="cannot name"):
        update.observe(unit_vectors(1, 64), [""])
    unknown = Aliases()
    unknown.retire("old", "gone")
    with pytest.raises(BankError, match="'gone'"):
        OnlineUpdate(start(), unknown)
    with pytest.raises(BankError, match="split_cosine"):
        UpdateRules(merge_cosine=0.8, split_cosine=0.9)
    with pytest.raises(BankError, match="min_step"):
        UpdateRules(min_step=0)
