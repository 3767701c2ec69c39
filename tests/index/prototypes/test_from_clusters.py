"""Banks of purified clusters, their names and origin, and soft assignment."""

from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from index.errors import BankError
from index.prototypes.bank import PrototypeBank
from index.prototypes.from_clusters import bank_of_clusters, from_clusters
from index.prototypes.kmeans import build
from index.prototypes.registry import BankRegistry
from index.vectors import Matrix
from tests.index.conftest import unit_vectors


def unit(matrix: Matrix) -> Matrix:
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), np.float32)


def arc(*degrees: float) -> Matrix:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_a_prototype_is_the_centroid_of_its_cluster() -> None:
    bank = from_clusters(arc(0, 20, 90, 110, 45), ["a", "a", 7, 7, None], "m")
    assert set(bank.names) == {"a", 7}
    assert np.allclose(bank.centroids[bank.rows["a"]], arc(10)[0], atol=1e-6)
    assert np.allclose(bank.centroids[bank.rows[7]], arc(100)[0], atol=1e-6)
    assert bank.counts is not None
    assert bank.counts.tolist() == [2, 2]
    assert bank.built_from == 4


@settings(max_examples=30)
@given(labels=st.lists(st.none() | st.integers(0, 9) | st.sampled_from("abc"), min_size=1))
def test_every_label_has_its_mean(labels: list[int | str | None]) -> None:
    vectors = unit_vectors(len(labels), dim=24)
    if not any(label is not None for label in labels):
        with pytest.raises(BankError, match="no vector has a label"):
            from_clusters(vectors, labels, "m")
        return
    bank = from_clusters(vectors, labels, "m")
    assert set(bank.names) == {label for label in labels if label is not None}
    for name, row in bank.rows.items():
        members = vectors[[label == name for label in labels]]
        assert np.allclose(bank.centroids[row], unit(members.mean(axis=0)[None])[0], atol=1e-5)


def test_names_counts_and_origin_are_kept(tmp_path: Path) -> None:
    labels = [f"product {number % 7}" if number % 5 else None for number in range(60)]
    bank = from_clusters(
        unit_vectors(60), labels, "m", created_from="run 3", sources={"studio": 40, "photos": 20}
    )
    registry = BankRegistry(tmp_path)
    registry.put(bank)
    found = registry.load(bank.version)
    assert list(found.names) == list(bank.names)
    assert found.counts is not None
    assert found.counts.sum() == found.built_from == 48
    assert found.origin == bank.origin
    card = orjson.loads((registry.banks / bank.version / "bank.json").read_bytes())
    assert card["method"] == "centroids of purified clusters"
    assert card["sources"] == {"studio": 40, "photos": 20}


def test_names_are_part_of_the_version() -> None:
    vectors = unit_vectors(6)
    one = from_clusters(vectors, list("aabbcc"), "m")
    assert one.version == from_clusters(vectors, list("aabbcc"), "m").version
    assert one.version != from_clusters(vectors, list("aabbcd"), "m").version
    assert one.version != PrototypeBank(one.centroids, model_id="m").version


def test_a_bank_in_the_format_without_names_still_loads(tmp_path: Path) -> None:
    centroids = build(unit_vectors(50), "m").centroids
    save_file({"centroids": centroids}, tmp_path / "bank.safetensors")
    before = PrototypeBank(centroids, model_id="m")
    card = {
        "version": before.version,
        "model_id": "m",
        "prototypes": len(centroids),
        "dim": 16,
        "built_from": 50,
        "method": "spherical k-means",
    }
    (tmp_path / "bank.json").write_bytes(orjson.dumps(card))
    found = PrototypeBank.load(tmp_path)
    assert not found.named
    assert list(found.names) == list(range(len(centroids)))


def test_the_version_of_a_bank_without_names_has_not_changed() -> None:
    assert PrototypeBank(np.eye(3, dtype=np.float32), model_id="m").version == "d5b0f01c44b5"


def test_clusters_can_be_given_by_the_ids_of_their_members() -> None:
    vectors = unit_vectors(5)
    ids = ["p1", "p2", "p3", "p4", "p5"]
    bank = bank_of_clusters({"a": ["p4", "p1"], "b": ["p2"]}, ids, vectors, "m")
    assert bank.version == from_clusters(vectors, ["a", "b", None, "a", None], "m").version
    with pytest.raises(BankError, match="'p9'"):
        bank_of_clusters({"a": ["p9"]}, ids, vectors, "m")
    with pytest.raises(BankError, match="the clusters 'a' and 'b'"):
        bank_of_clusters({"a": ["p1"], "b": ["p1"]}, ids, vectors, "m")


def test_invalid_clusters_are_an_error() -> None:
    with pytest.raises(BankError, match="cancel out"):
        from_clusters(arc(0, 180), ["a", "a"], "m")
    with pytest.raises(BankError, match="1 labels for 2 vectors"):
        from_clusters(arc(0, 10), ["a"], "m")
    with pytest.raises(BankError, match="two prototypes are called 'a'"):
        PrototypeBank(arc(0, 90), names=["a", "a"])
    with pytest.raises(BankError, match="cannot name"):
        PrototypeBank(arc(0, 90), names=["a", True])
    with pytest.raises(BankError, match="3 names for 2"):
        PrototypeBank(arc(0, 90), names=["a", "b", "c"])
    with pytest.raises(BankError, match="counts"):
        PrototypeBank(arc(0, 90), counts=np.array([1, -1]))


def test_search_agrees_with_a_sort() -> None:
    bank = PrototypeBank(unit_vectors(50))
    vectors = unit_vectors(8, seed=2)
    rows, cosines = bank.search(vectors, 5)
    for at, vector in enumerate(vectors):
        order = np.argsort(-bank.similarities(vector[None])[0], kind="stable")
        assert rows[at].tolist() == order[:5].tolist()
    assert np.all(np.diff(cosines, axis=1) <= 0)
    assert bank.search(vectors, 99)[0].shape == (8, 50)
