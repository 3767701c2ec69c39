"""The prototype bank: building, assigning, keeping."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import BankError
from index.prototypes.bank import PrototypeBank
from index.prototypes.kmeans import build, default_prototypes, neighbour_order
from index.prototypes.registry import BankRegistry
from tests.index.conftest import unit_vectors


def test_every_cluster_gets_its_prototype() -> None:
    centres = unit_vectors(5, dim=32)
    vectors = np.repeat(centres, 40, axis=0) + 0.02 * unit_vectors(200, dim=32, seed=1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bank = build(vectors, "m", prototypes=5)
    prototypes, cosines = bank.assign(vectors)
    assert len({tuple(set(group)) for group in prototypes.reshape(5, 40).tolist()}) == 5
    assert cosines.min() > 0.99


def test_the_same_vectors_give_the_same_bank() -> None:
    vectors = unit_vectors(300)
    assert build(vectors, "m").version == build(vectors.copy(), "m").version
    assert build(vectors, "m").version != build(vectors, "another model").version


@settings(max_examples=25)
@given(count=st.integers(1, 60), wanted=st.integers(1, 80), copies=st.integers(1, 3))
def test_a_bank_of_any_catalog_is_of_unit_length(count: int, wanted: int, copies: int) -> None:
    bank = build(np.repeat(unit_vectors(count), copies, axis=0), "m", wanted)
    assert 1 <= len(bank) <= min(count, wanted)
    assert np.allclose(np.linalg.norm(bank.centroids, axis=1), 1, atol=1e-5)


def test_assign_agrees_with_search() -> None:
    bank = build(unit_vectors(200), "m")
    for vector in unit_vectors(20, seed=3):
        [prototypes], [cosines] = bank.search(vector[None], 4)
        assert prototypes[0] == bank.assign(vector[None])[0][0]
        assert np.all(np.diff(cosines) <= 0)
        assert len(set(prototypes.tolist())) == 4


def test_the_default_count_grows_as_the_root_then_by_hundreds() -> None:
    sizes = {1: 1, 81: 9, 10_000: 100, 100_000: 1000}
    assert {items: default_prototypes(items) for items in sizes} == sizes


def test_consecutive_prototypes_are_near_each_other() -> None:
    angles = np.random.default_rng(0).permutation(np.linspace(0, 1.5, 32))
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    steps = np.diff(angles[neighbour_order(arc)])
    assert np.all(steps > 0) or np.all(steps < 0)


def test_invalid_prototypes_are_an_error() -> None:
    with pytest.raises(BankError, match="shape"):
        build(np.zeros((0, 8), np.float32), "m")
    vectors = unit_vectors(4)
    vectors[2] *= 2
    with pytest.raises(BankError, match="row 2 has length 2"):
        build(vectors, "m")
    vectors[2] = np.nan
    with pytest.raises(BankError, match="finite"):
        build(vectors, "m")
    with pytest.raises(BankError, match="do not fit"):
        build(unit_vectors(4), "m").assign(unit_vectors(4, dim=8))


def test_a_stored_bank_is_read_back_unchanged(tmp_path: Path) -> None:
    registry = BankRegistry(tmp_path)
    assert registry.current() is None
    bank = build(unit_vectors(100), "a model / v2")
    registry.put(bank)
    registry.put(bank)
    registry.make_current(bank.version)
    found = BankRegistry(tmp_path).load(registry.current() or "")
    assert (found.version, found.model_id, found.built_from) == (bank.version, bank.model_id, 100)
    assert registry.get(bank.version).version == bank.version
    assert np.array_equal(registry.load(bank.version).centroids, bank.centroids)
    assert {path.name for path in registry.banks.iterdir()} == {bank.version, "current"}


def test_a_missing_or_damaged_bank_is_an_error(tmp_path: Path) -> None:
    registry = BankRegistry(tmp_path)
    with pytest.raises(BankError, match="copy it from the machine"):
        registry.get("0123456789ab")
    bank, other = build(unit_vectors(100), "m"), build(unit_vectors(100, seed=1), "m")
    registry.put(bank)
    other.save(tmp_path / "other")
    (tmp_path / "other" / "bank.safetensors").replace(
        registry.banks / bank.version / "bank.safetensors"
    )
    with pytest.raises(BankError, match="damaged"):
        registry.get(bank.version)
    (registry.banks / bank.version / "bank.safetensors").write_bytes(b"cut")
    with pytest.raises(BankError, match="no readable"):
        PrototypeBank.load(registry.banks / bank.version)
