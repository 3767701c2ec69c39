"""Probing and re-keying, on both stores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.errors import GenerationChanged
from index.item import Item, tombstone
from index.lifecycle.repartition import outgrown, repartition
from index.milvus.config import MilvusConfig
from index.milvus.open import open_collection
from index.prototypes.kmeans import build
from index.prototypes.registry import BankRegistry
from index.search.probe import choose, probe
from tests.index.conftest import unit_vectors

VECTORS = unit_vectors(150)
FIRST = build(VECTORS[:10], "m", prototypes=2)


def items() -> list[Item]:
    prototypes, _ = FIRST.assign(VECTORS)
    return [
        Item(item_id=f"i{k}", product_id=f"p{k}", prototype=int(prototype), vector=VECTORS[k])
        for k, prototype in enumerate(prototypes)
    ]


def test_a_catalog_grows_out_of_its_bank() -> None:
    assert not outgrown(10, FIRST)
    assert outgrown(16, FIRST)


def test_rekeying_changes_the_bank_and_nothing_a_shopper_sees(
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


def test_a_rekeying_cut_short_leaves_the_catalog_as_it_was(
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


def test_an_empty_catalog_cannot_be_rekeyed(
    lite_config: MilvusConfig, name: str, tmp_path: Path
) -> None:
    with open_collection(lite_config, FIRST, name) as collection:
        assert repartition(collection, BankRegistry(tmp_path)) is collection


def test_a_small_catalog_is_searched_whole() -> None:
    assert choose(np.linspace(1, 0, 9, dtype=np.float32), 9, 10) is None
    assert choose(np.linspace(1, 0, 9, dtype=np.float32), 0, 10) is None


def test_probing_follows_candidates_then_the_gap() -> None:
    even = np.linspace(0.9, 0.5, 1000, dtype=np.float32)
    assert choose(even, 100, 10) == list(range(50))[: len(choose(even, 100, 10) or [])]
    assert len(choose(even, 100, 10) or []) == max(20, int((even >= 0.88).sum()))
    cliff = np.full(1000, 0.1, np.float32)
    cliff[[7, 3]] = 0.9, 0.8
    assert choose(cliff, 100, 10) == [7, 3]
    assert choose(cliff, 10, 10) == [7, 3]
    assert len(choose(cliff, 1, 10) or []) == 20, "twenty may hold the ten that are wanted"
    level = np.full(1000, 0.5, np.float32)
    assert choose(level, 100, 10) is None, "all as near as the best"


def test_probe_fills_up_from_the_whole_catalog(lite_config: MilvusConfig, name: str) -> None:
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
