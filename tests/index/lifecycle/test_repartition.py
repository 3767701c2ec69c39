"""Probing and repartitioning, on both stores: what shoppers see stays, what is written stays."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.errors import GenerationChanged, MilvusUnavailable, RepartitionCancelled
from index.item import Item, tombstone
from index.lifecycle.repartition import needs_repartition, repartition
from index.lifecycle.switch import GRACE_S
from index.milvus.client import Client
from index.milvus.collection import Collection
from index.milvus.config import MilvusConfig
from index.milvus.metadata import resolve_alias
from index.milvus.open import open_collection
from index.prototypes.kmeans import build
from index.prototypes.registry import BankRegistry
from index.search.probe import choose, probe
from index.vectors import Matrix, Rows
from tests.doubles.dying_client import Crash, dying_at
from tests.index.conftest import unit_vectors

VECTORS = unit_vectors(150)
FIRST = build(VECTORS[:10], "m", prototypes=2)


def items() -> list[Item]:
    prototypes, _ = FIRST.assign(VECTORS)
    return [
        Item(item_id=f"i{k}", product_id=f"p{k}", prototype=int(prototype), vector=VECTORS[k])
        for k, prototype in enumerate(prototypes)
    ]


def test_a_catalog_that_has_grown_needs_more_prototypes() -> None:
    assert not needs_repartition(10, FIRST)
    assert needs_repartition(16, FIRST)


def test_repartitioning_changes_the_bank_and_nothing_a_shopper_sees(
    config: MilvusConfig, name: str, tmp_path: Path
) -> None:
    registry = BankRegistry(tmp_path)
    registry.put(FIRST)
    writer, reader = (open_collection(config, FIRST, name) for _ in range(2))
    writer.write([*items(), tombstone("i-gone", "p-gone", FIRST.dim, {"delete": 3})])
    before = writer.content_hash()
    expected = [hit.item.item_id for hit in reader.search(VECTORS[:1], 20)[0]]
    progress: list[int] = []

    successor = repartition(writer, registry, grace_s=0, on_progress=progress.append)

    assert len(successor.bank) == 12
    assert progress[-1] == 151
    assert successor.content_hash() == before
    assert successor.get(["p-gone"])[0].versions == {"delete": 3}
    assert successor.generations() == [successor.generation]
    with pytest.raises(GenerationChanged) as caught:
        reader.search(VECTORS[:1], 20)
    assert caught.value.bank_version == successor.bank.version == registry.current()
    followed = open_collection(config, registry.get(caught.value.bank_version), name)
    assert [hit.item.item_id for hit in followed.search(VECTORS[:1], 20)[0]] == expected
    assert repartition(successor, registry, grace_s=0) is successor
    for opened in (reader, followed, successor):
        opened.close()


def test_an_interrupted_repartition_leaves_the_catalog_unchanged(
    lite_config: MilvusConfig, name: str, tmp_path: Path, monkeypatch: Any
) -> None:
    registry = BankRegistry(tmp_path)
    writer = open_collection(lite_config, FIRST, name)
    writer.write(items())
    before = writer.content_hash()

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("index.milvus.collection.Collection.publish", die)
        with pytest.raises(KeyboardInterrupt):
            repartition(writer, registry, grace_s=0)
    assert len(writer.generations()) == 2
    with open_collection(lite_config, FIRST, name) as restarted:
        assert restarted.content_hash() == before
        successor = repartition(restarted, registry, grace_s=0)
        assert successor.content_hash() == before
        assert successor.generations() == [successor.generation]


class BusyWriter:
    """Writes whenever it is asked what it wrote, as a thread of its own would."""

    def __init__(self, collection: Collection, script: Iterator[Callable[[], set[str]]]) -> None:
        self.collection = collection
        self.steps = 0
        self._script = script

    def take_written(self) -> set[str]:
        self.steps += 1
        return next(self._script, set)()

    @contextmanager
    def switching(self, successor: Collection) -> Iterator[None]:
        yield
        self.collection = successor


def changed(number: int, vector: int, **fields: Any) -> Item:
    prototypes, _ = FIRST.assign(VECTORS[vector][None])
    return Item(
        item_id=f"i{number}",
        product_id=f"p{number}",
        prototype=int(prototypes[0]),
        vector=VECTORS[vector],
        **fields,
    )


def test_what_is_written_during_the_copy_is_in_the_new_generation(
    config: MilvusConfig, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes, moves, additions, deletes and tombstones, before and behind the scan."""
    monkeypatch.setattr("index.milvus.generation.PAGE", 10)
    collection = open_collection(config, FIRST, name)
    collection.write(items()[:60])

    def change(first: int) -> Callable[[], set[str]]:
        def write() -> set[str]:
            collection.write(
                [
                    changed(first, first, payload={"title": "changed"}),
                    changed(first + 1, 149 - first, payload={"title": "moved"}),
                    changed(100 + first, first, payload={"title": "new"}),
                    tombstone(f"i{first + 2}", f"p{first + 2}", FIRST.dim, {"delete": 9}),
                ]
            )
            collection.delete([f"i{first + 3}"])
            return {f"p{number}" for number in (*range(first, first + 4), 100 + first)}

        return write

    script = iter([change(first) for first in (0, 10, 20, 30)])
    writer = BusyWriter(collection, script)
    successor = repartition(
        collection, BankRegistry(tmp_path), prototypes=5, writer=writer, grace_s=0
    )
    assert next(script, None) is None, "all of it was written during the copy"
    assert writer.collection is successor
    found = {item.item_id: item for page in successor.scan(tombstones=True) for item in page}
    for first in (0, 10, 20, 30):
        titles = [found[f"i{n}"].payload["title"] for n in (first, first + 1, 100 + first)]
        assert titles == ["changed", "moved", "new"]
        assert found[f"i{first + 2}"].is_tombstone
        assert f"i{first + 3}" not in found
    assert len(found) == 60
    assert successor.count() == 56
    for page in successor.scan(vectors=True):
        for item in page:
            assert item.vector is not None
            assert item.prototype == successor.bank.assign(item.vector[None])[0][0]
    successor.drop_all()
    successor.close()


@pytest.mark.slow
def test_a_writer_that_is_not_alone_any_more_ends_the_copy(
    lite_config: MilvusConfig, name: str, tmp_path: Path
) -> None:
    with open_collection(lite_config, FIRST, name) as collection:
        collection.write(items()[:40])
        before = collection.content_hash()
        for step in range(1, 9):

            def cancel() -> set[str]:
                raise RepartitionCancelled("another process has joined")

            script = iter([*[set] * (step - 1), cancel])
            writer = BusyWriter(collection, script)
            try:
                repartition(
                    collection, BankRegistry(tmp_path), prototypes=3, writer=writer, grace_s=0
                )
            except RepartitionCancelled:
                assert collection.content_hash() == before
            else:
                break
        assert step > 3, "at the beginning, during the copy, and right before the switch"


@pytest.mark.slow
def test_a_crash_at_any_call_leaves_one_generation_whole(
    lite_config: MilvusConfig, name: str, tmp_path: Path
) -> None:
    registry = BankRegistry(tmp_path)
    registry.put(FIRST)
    registry.make_current(FIRST.version)
    collection = open_collection(lite_config, FIRST, name)
    collection.write(items()[:30])
    before = collection.content_hash()
    outcomes: list[str] = []
    for call in range(1, 200):
        with dying_at(call, done=call % 2 == 0):
            try:
                repartition(collection, registry, prototypes=3, grace_s=0)
            except Crash:
                pass
            else:
                break
        collection.close()
        alias = resolve_alias(Client(lite_config), name)
        assert alias is not None
        outcomes.append("old" if alias.metadata.bank_version == FIRST.version else "new")
        collection = open_collection(lite_config, registry.get(alias.metadata.bank_version), name)
        assert collection.content_hash() == before
        if outcomes[-1] == "new":  # and back again, so that the next crash finds what this one did
            collection = repartition(collection, registry, bank=FIRST, grace_s=0)
            assert collection.generations() == [collection.generation]
    assert len(outcomes) > 20
    assert set(outcomes) == {"old", "new"}
    with open_collection(lite_config, registry.get(registry.current() or ""), name) as left:
        assert left.content_hash() == before
        left.drop_all()


def test_an_index_that_goes_away_in_the_middle_keeps_the_old_generation(
    lite_config: MilvusConfig, name: str, tmp_path: Path
) -> None:
    def fail() -> set[str]:
        raise MilvusUnavailable("away")

    with open_collection(lite_config, FIRST, name) as collection:
        collection.write(items())
        writer = BusyWriter(collection, iter([set, fail]))
        with pytest.raises(MilvusUnavailable):
            repartition(collection, BankRegistry(tmp_path), writer=writer, grace_s=0)
        assert collection.generations() == [collection.generation], "the copy was dropped"


def test_the_old_generation_outlives_the_switch(
    lite_config: MilvusConfig, name: str, tmp_path: Path
) -> None:
    waited: list[float] = []
    with open_collection(lite_config, FIRST, name) as collection:
        collection.write(items())

        def wait(seconds: float) -> None:
            waited.append(seconds)
            assert len(collection.generations()) == 2

        repartition(collection, BankRegistry(tmp_path), wait=wait).close()
        assert waited == [GRACE_S]
        assert len(collection.generations()) == 1


def test_an_empty_catalog_cannot_be_repartitioned(
    lite_config: MilvusConfig, name: str, tmp_path: Path
) -> None:
    with open_collection(lite_config, FIRST, name) as collection:
        assert repartition(collection, BankRegistry(tmp_path)) is collection


class FixedBank:
    """A bank whose prototypes have given cosines to whatever is asked."""

    def __init__(self, cosines: Matrix) -> None:
        self._cosines = cosines

    def __len__(self) -> int:
        return len(self._cosines)

    def search(self, _vectors: Matrix, k: int) -> tuple[Rows, Matrix]:
        order = np.argsort(-self._cosines, kind="stable")[:k]
        return order[None], self._cosines[order][None]


def chosen(cosines: Matrix, per_prototype: float, limit: int) -> Sequence[int] | None:
    bank: Any = FixedBank(cosines)
    return choose(bank, np.ones((1, 1), np.float32), per_prototype, limit)[0]


def test_a_small_catalog_is_searched_whole() -> None:
    assert chosen(np.linspace(1, 0, 9, dtype=np.float32), 9, 10) is None
    assert chosen(np.linspace(1, 0, 9, dtype=np.float32), 0, 10) is None


def test_probing_follows_candidates_then_the_distance() -> None:
    even = np.linspace(0.9, 0.5, 1000, dtype=np.float32)
    assert chosen(even, 100, 10) == list(range(50))[: len(chosen(even, 100, 10) or [])]
    assert len(chosen(even, 100, 10) or []) == max(20, int((even >= 0.88).sum()))
    cliff = np.full(1000, 0.1, np.float32)
    cliff[[7, 3]] = 0.9, 0.8
    assert chosen(cliff, 100, 10) == [7, 3]
    assert chosen(cliff, 10, 10) == [7, 3]
    assert len(chosen(cliff, 1, 10) or []) == 20, "twenty may hold the ten that are wanted"
    level = np.full(1000, 0.5, np.float32)
    assert chosen(level, 100, 10) is None, "all as near as the best"


def test_probe_searches_the_whole_catalog_if_hits_are_missing(
    lite_config: MilvusConfig, name: str
) -> None:
    bank = build(unit_vectors(200, seed=2), "m", prototypes=20)
    crowd = np.repeat(bank.centroids[:1], 3000, axis=0) + 0.05 * unit_vectors(3000, seed=3)
    crowd /= np.linalg.norm(crowd, axis=1, keepdims=True)
    vectors = np.concatenate([crowd, bank.centroids[1:]]).astype(np.float32)
    prototypes, _ = bank.assign(vectors)
    with open_collection(lite_config, bank, name) as collection:
        collection.write(
            [
                Item(item_id=f"i{k}", product_id=f"p{k}", prototype=int(prototype), vector=vector)
                for k, (prototype, vector) in enumerate(zip(prototypes, vectors, strict=True))
            ]
        )
        lonely = -bank.centroids[:1]
        hits = probe(collection, bank, np.concatenate([lonely, crowd[:1]]), 30)
        assert [len(found) for found in hits] == [30, 30]
        exact = np.argsort(-(vectors @ crowd[0]), kind="stable")[:30]
        assert {hit.item.item_id for hit in hits[1]} == {f"i{k}" for k in exact}
