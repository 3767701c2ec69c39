"""A bank on disk: it assigns as the bank in memory does, and says when it is damaged."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import BankError
from index.prototypes import mmap_build
from index.prototypes.bank import PrototypeBank
from index.prototypes.mmap_bank import MappedBank, open_mapped
from index.prototypes.mmap_build import build_mapped, map_bank
from index.prototypes.soft_assignment import soft_assign
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
        counts=np.arange(COUNT),
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


def test_rows_have_the_names_and_counts_of_the_bank(
    bank: PrototypeBank, indexed: MappedBank
) -> None:
    assert list(indexed.names) == list(bank.names)
    assert indexed.rows["p17"] == 17
    assert indexed.counts is not None
    assert indexed.counts.tolist() == list(range(COUNT))
    assert (indexed.bank_version, indexed.model_id) == (bank.version, "m")
    assert isinstance(indexed.vectors, np.memmap)


def test_search_is_in_order_and_soft_assignment_works_on_it(
    bank: PrototypeBank, indexed: MappedBank
) -> None:
    vectors = near(bank.centroids[:50])
    rows, cosines = indexed.search(vectors, 6)
    assert np.all(np.diff(cosines, axis=1) <= 0)
    assert all(len(set(row)) == 6 for row in rows.tolist())
    one, scores = indexed.nearest(vectors[3], 6)
    assert one.tolist() == rows[3].tolist()
    assert np.allclose(scores, cosines[3], atol=1e-5)
    soft = soft_assign(indexed, vectors, k=3)
    assert soft.rows[:, 0].tolist() == rows[:, 0].tolist()


@settings(deadline=None, max_examples=10)
@given(count=st.integers(1, 40), dim=st.integers(1, 20), k=st.integers(1, 50))
def test_a_small_one_of_any_size_finds_each_of_its_own(
    count: int, dim: int, k: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vectors = unit_vectors(count, dim)
    found = build_mapped(tmp_path_factory.mktemp("banks") / "b", vectors, "m")
    rows, cosines = found.search(vectors, k)
    assert rows.shape == (count, min(k, count))
    assert np.allclose(cosines[:, 0], 1, atol=5e-3)
    assert list(found.names) == list(range(count))
    assert found.counts is None
    assert len(found.search(vectors[:0], k)[0]) == 0


def test_the_same_prototypes_give_the_same_version(bank: PrototypeBank, tmp_path: Path) -> None:
    steps: list[str] = []
    one = map_bank(tmp_path / "one", bank, on_progress=lambda step, done, total: steps.append(step))
    other = build_mapped(tmp_path / "other", bank.centroids, "m", names=bank.names)
    assert one.version == other.version
    assert one.version != build_mapped(tmp_path / "unnamed", bank.centroids, "m").version
    assert set(steps) >= {"write", "add"}


def test_a_damaged_one_says_so(tmp_path: Path) -> None:
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


def test_what_cannot_be_a_bank_is_refused(tmp_path: Path) -> None:
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
