"""A bank of products kept up to date with what is stored, on both stores."""

from pathlib import Path

import numpy as np
import pytest

from index.errors import BankError, ModelMismatch
from index.item import Item
from index.lifecycle.repartition import needs_repartition, repartition
from index.lifecycle.update_prototypes import update_prototypes
from index.milvus.config import MilvusConfig
from index.milvus.open import open_collection
from index.prototypes.aliases import Aliases
from index.prototypes.bank import PrototypeBank
from index.prototypes.from_clusters import from_clusters
from index.prototypes.kmeans import build
from index.prototypes.registry import BankRegistry
from tests.index.conftest import unit_vectors

CENTRES = unit_vectors(6, seed=3)
PRODUCTS = [f"p{number}" for number in range(6)]


def near(centre: int, count: int, seed: int = 0) -> list[np.ndarray]:
    noise = 0.05 * np.random.default_rng((seed, centre)).standard_normal((count, 16))
    rows = (CENTRES[centre] + noise).astype(np.float32)
    return list(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def items(*products: int) -> list[Item]:
    return [
        Item(item_id=f"p{number}#{k}", product_id=f"p{number}", prototype=0, vector=vector)
        for number in products
        for k, vector in enumerate(near(number, 3))
    ]


def of_products(*products: int) -> PrototypeBank:
    vectors = np.concatenate([near(number, 4, seed=1) for number in products])
    labels = [f"p{number}" for number in products for _ in range(4)]
    return from_clusters(vectors, labels, "m")


def test_new_products_get_prototypes_and_the_catalog_is_assigned_by_them(
    config: MilvusConfig, name: str, tmp_path: Path
) -> None:
    registry, bank = BankRegistry(tmp_path), of_products(0, 1, 2, 3)
    registry.put(bank)
    collection = open_collection(config, bank, name)
    collection.write(items(0, 1, 2, 3, 4, 5))
    before = collection.content_hash()
    seen: list[int] = []
    new, aliases = update_prototypes(collection, registry, on_progress=seen.append)
    assert sorted(new.names) == PRODUCTS
    assert seen[-1] == 18
    registry.put(new, aliases)
    with repartition(collection, registry, bank=new, grace_s=0) as repartitioned:
        assert repartitioned.content_hash() == before
        assert registry.current() == repartitioned.bank.version == new.version
        for item in repartitioned.get(PRODUCTS):
            assert new.names[item.prototype] == item.product_id


def test_a_merged_product_leads_to_the_survivor(
    lite_config: MilvusConfig, name: str, tmp_path: Path
) -> None:
    twice = np.concatenate([near(0, 5, seed=1), near(0, 4, seed=2), near(1, 4, seed=1)])
    bank = from_clusters(twice, ["p0"] * 5 + ["twin"] * 4 + ["p1"] * 4, "m")
    registry = BankRegistry(tmp_path)
    registry.put(bank)
    with open_collection(lite_config, bank, name) as collection:
        collection.write(items(0, 1))
        new, aliases = update_prototypes(collection, registry)
    assert sorted(new.names) == ["p0", "p1"]
    assert aliases.resolve("twin") == ("p0",)
    registry.put(new, aliases)
    assert registry.aliases(new.version) == aliases
    assert registry.aliases(bank.version) == Aliases()


def test_a_bank_of_products_never_needs_repartition() -> None:
    bank = of_products(0)
    assert not needs_repartition(10_000, bank)
    assert needs_repartition(10_000, build(CENTRES, "m", prototypes=1))


def test_banks_that_do_not_fit_are_an_error(
    lite_config: MilvusConfig, name: str, tmp_path: Path
) -> None:
    registry, bank = BankRegistry(tmp_path), build(CENTRES, "m", prototypes=2)
    with open_collection(lite_config, bank, name) as collection:
        collection.write(items(0))
        with pytest.raises(BankError, match="have no names"):
            update_prototypes(collection, registry)
        with pytest.raises(ModelMismatch, match="'other'"):
            repartition(collection, registry, bank=build(CENTRES, "other", prototypes=2), grace_s=0)
