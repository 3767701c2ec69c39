"""A bank on disk: it assigns as the bank in memory does, and says when it is damaged."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import BankError
from index.item import Item
from index.lifecycle.repartition import repartition
from index.milvus.collection import Collection
from index.milvus.config import MilvusConfig
from index.milvus.open import open_collection
from index.prototypes import mmap_build
from index.prototypes.aliases import Aliases
from index.prototypes.bank import PrototypeBank
from index.prototypes.kmeans import build
from index.prototypes.mmap_bank import MappedBank, open_mapped
from index.prototypes.mmap_build import build_mapped, map_bank
from index.prototypes.registry import BankRegistry
from index.search.probe import choose, probe
from index.vectors import Matrix
from tests.index.conftest import unit_vectors

COUNT, DIM = 3000, 64


def near(vectors: Matrix, noise: float = 0.5) -> Matrix:
    rng = np.random.default_rng(5)
    found = vectors + noise * rng.standard_normal(vectors.shape) / np.sqrt(vectors.shape[1])
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def bank() -> PrototypeBank:
    return PrototypeBank(
        unit_vectors(COUNT, DIM),
        model_id="m",
        names=[f"p{number}" for number in range(COUNT)],
    )


@pytest.fixture(scope="module")
def indexed(bank: PrototypeBank, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MappedBank]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmap_build, "SMALL", 100)  # else a bank of this size needs no cells
        yield map_bank(tmp_path_factory.mktemp("banks") / "mapped", bank)


def test_it_assigns_as_the_bank_in_memory_does(bank: PrototypeBank, indexed: MappedBank) -> None:
    vectors = near(bank.centroids[::7])
    exact, cosines = bank.assign(vectors)
    rows, found = indexed.assign(vectors)
    indexed.threads = 3
    assert indexed.assign(vectors)[0].tolist() == rows.tolist()
    same = rows == exact
    assert same.mean() >= 0.95
    assert np.allclose(found[same], cosines[same], atol=2e-3)
    assert np.all(found <= cosines + 2e-3)


def test_rows_have_the_names_of_the_bank(bank: PrototypeBank, indexed: MappedBank) -> None:
    assert list(indexed.names) == list(bank.names)
    assert indexed.rows["p17"] == 17
    assert indexed.named
    assert (indexed.version, indexed.model_id) == (bank.version, "m")
    assert isinstance(indexed.vectors, np.memmap)


def test_search_is_in_order_and_finds_what_an_exact_one_does(
    bank: PrototypeBank, indexed: MappedBank
) -> None:
    vectors = near(bank.centroids[:50])
    rows, cosines = indexed.search(vectors, 6)
    assert np.all(np.diff(cosines, axis=1) <= 0)
    assert all(len(set(row)) == 6 for row in rows.tolist())
    one, scores = indexed.search(vectors[3:4], 6)
    assert one[0].tolist() == rows[3].tolist()
    assert np.allclose(scores[0], cosines[3], atol=1e-5)
    exact, _ = bank.search(vectors, 6)
    assert np.mean([len(set(a) & set(b)) / 6 for a, b in zip(rows, exact, strict=True)]) > 0.95


@settings(max_examples=10)
@given(count=st.integers(1, 40), dim=st.integers(1, 20), k=st.integers(1, 50))
def test_a_small_bank_of_any_size_finds_its_own_prototypes(
    count: int, dim: int, k: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vectors = unit_vectors(count, dim)
    found = build_mapped(tmp_path_factory.mktemp("banks") / "b", vectors, "m")
    rows, cosines = found.search(vectors, k)
    assert rows.shape == (count, min(k, count))
    assert np.allclose(cosines[:, 0], 1, atol=5e-3)
    assert list(found.names) == list(range(count))
    assert not found.named
    assert len(found.search(vectors[:0], k)[0]) == 0


def test_the_same_prototypes_give_the_same_version(bank: PrototypeBank, tmp_path: Path) -> None:
    steps: list[str] = []
    one = map_bank(tmp_path / "one", bank, on_progress=lambda step, done, total: steps.append(step))
    other = build_mapped(tmp_path / "other", bank.centroids, "m", names=bank.names)
    assert one.content_hash == other.content_hash
    assert one.content_hash != build_mapped(tmp_path / "unnamed", bank.centroids, "m").content_hash
    assert (one.version, other.version) == (bank.version, other.content_hash)
    assert set(steps) >= {"write", "add"}


def test_a_damaged_bank_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    build_mapped(folder, unit_vectors(30), "m").verify()
    content = bytearray((folder / "vectors.npy").read_bytes())
    content[-5] ^= 0xFF
    (folder / "vectors.npy").write_bytes(content)
    with pytest.raises(BankError, match="damaged"):
        open_mapped(folder).verify()
    (folder / "vectors.npy").write_bytes(content[:-64])
    with pytest.raises(BankError, match="no readable mapped bank"):
        open_mapped(folder)
    with pytest.raises(BankError, match="no readable mapped bank"):
        open_mapped(tmp_path / "nowhere")


def test_invalid_prototypes_are_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    with pytest.raises(BankError, match="normalised"):
        build_mapped(folder, 2 * unit_vectors(5), "m")
    assert not folder.exists()
    with pytest.raises(BankError, match="called 'a'"):
        build_mapped(folder, unit_vectors(2), "m", names=["a", "a"])
    bank = build_mapped(folder, unit_vectors(5), "m")
    with pytest.raises(BankError, match="not empty"):
        build_mapped(folder, unit_vectors(5), "m")
    with pytest.raises(BankError, match="wants"):
        bank.assign(unit_vectors(2, 8))


def test_the_registry_gives_large_banks_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.prototypes.registry.MAPPED_FROM", 50)
    registry = BankRegistry(tmp_path / "one")
    small, large = (PrototypeBank(unit_vectors(count), model_id="m") for count in (49, 50))
    aliases = Aliases()
    aliases.retire("old", 3)
    for bank in (small, large):
        registry.put(bank, aliases)
    assert isinstance(registry.get(small.version), PrototypeBank)
    found = registry.get(large.version)
    assert isinstance(found, MappedBank)
    assert (found.version, len(found), found.dim) == (large.version, 50, 16)
    assert found.assign(large.centroids)[0].tolist() == list(range(50))
    assert np.array_equal(registry.load(large.version).centroids, large.centroids)

    other = BankRegistry(tmp_path / "other")
    assert large.version not in other
    other.copy_from(registry, large.version)
    assert isinstance(other.get(large.version), MappedBank)
    assert other.aliases(large.version) == aliases
    with pytest.raises(BankError, match="is not in"):
        other.copy_from(registry, "0123456789ab")


def test_a_catalog_works_as_well_by_a_mapped_bank(
    lite_config: MilvusConfig, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written, probed, repartitioned to another mapped bank, and probed again."""
    monkeypatch.setattr("index.prototypes.registry.MAPPED_FROM", 5)
    registry = BankRegistry(tmp_path)
    vectors = unit_vectors(300, seed=4)
    bank = build(vectors, "m", prototypes=30)
    registry.put(bank)
    collection = open_collection(lite_config, registry.get(bank.version), name)
    assert isinstance(collection.bank, MappedBank)
    prototypes, _ = collection.bank.assign(vectors)
    collection.write(
        [
            Item(item_id=f"i{k}", product_id=f"p{k}", prototype=int(prototype), vector=vectors[k])
            for k, prototype in enumerate(prototypes)
        ]
    )
    monkeypatch.setattr("index.search.probe.CANDIDATES", 60)
    monkeypatch.setattr("index.search.probe.CANDIDATES_PER_HIT", 1)

    def finds_its_own(opened: Collection) -> None:
        assert isinstance(opened.bank, MappedBank)
        chosen = choose(opened.bank, vectors[:20], 300 / len(opened.bank), 5)
        assert any(one is not None for one in chosen), "some need not search the whole catalog"
        hits = probe(opened, opened.bank, vectors[:20], 5)
        assert [found[0].item.item_id for found in hits] == [f"i{k}" for k in range(20)]

    finds_its_own(collection)
    successor = repartition(collection, registry, prototypes=40, grace_s=0)
    finds_its_own(successor)
    successor.drop_all()
    successor.close()
