"""The parts of `bench embedding`: retrieval tasks, subsets, the power law."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

from benchmarks.recognition.ablations import first_identities
from benchmarks.recognition.retrieval_tasks import TaskPictures, retrieval_tasks
from benchmarks.recognition.scaling import counts_up_to, fit_power_law
from models.catalog.folder import read_catalog
from models.training.embedding.samples import collect_pictures

Rows = Sequence[Mapping[str, object]]


def write_catalog(folder: Path, products: Rows, photos: Rows) -> Path:
    folder.mkdir()
    for name, rows in (("products", products), ("photos", photos)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def photo(name: str, split: str, product: str | None = None) -> dict[str, object]:
    return {"image": name, "split": split, "product_id": product, "category": ["Food", "Fruit"]}


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """Products whose photos are in both splits."""
    products = [
        {"product_id": name, "image": f"{name}.png", "category": ["Food", "Fruit"]}
        for name in ("a", "b", "c")
    ]
    photos = [photo("1.jpg", "train", "a"), photo("2.jpg", "test", "a")]
    return write_catalog(tmp_path / "seen", products, photos)


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    """Products of the test split that no photo of the training split shows."""
    products = [
        {"product_id": name, "image": f"{name}.png", "category": ["Food", "Fruit"]}
        for name in ("a", "b", "c")
    ]
    photos = [
        photo("1.jpg", "train", "a"),
        photo("2.jpg", "test", "b"),
        photo("3.jpg", "test", "c"),
    ]
    return write_catalog(tmp_path / "apart", products, photos)


@pytest.fixture
def nameless(tmp_path: Path) -> Path:
    """Photos of kinds, and no product."""
    return write_catalog(
        tmp_path / "nameless", [], [photo("1.jpg", "train"), photo("2.jpg", "test")]
    )


def test_queries_are_test_photos_documents_products_and_training_photos(seen: Path) -> None:
    pictures = TaskPictures()
    tasks = retrieval_tasks([seen], pictures)
    assert tasks["seen"].levels.tolist() == [[0, 1, 1]]
    assert tasks["seen photos"].levels.tolist() == [[0]]
    names = [Path(source.path).name for source in pictures.sources]
    assert [names[row] for row in tasks["seen"].query_rows] == ["2.jpg"]
    assert [names[row] for row in tasks["seen photos"].document_rows] == ["1.jpg"]


def test_trained_products_are_no_documents_if_the_splits_are_disjoint(apart: Path) -> None:
    tasks = retrieval_tasks([apart], TaskPictures())
    assert tasks.keys() == {"apart"}
    assert tasks["apart"].levels.tolist() == [[0, 1], [1, 0]]


def test_without_products_relevance_is_by_category(nameless: Path) -> None:
    tasks = retrieval_tasks([nameless], TaskPictures())
    assert tasks.keys() == {"nameless photos"}
    assert tasks["nameless photos"].levels.tolist() == [[1]]


def test_fewer_identities_are_a_subset_of_more(seen: Path) -> None:
    pictures = collect_pictures([read_catalog(seen)])
    one, two = first_identities(pictures, 1), first_identities(pictures, 2)
    assert len(set(pictures.ids[one])) == 1
    assert len(set(pictures.ids[two])) == 2
    assert set(one) < set(two)


def test_a_power_law_is_recovered() -> None:
    counts = counts_up_to(5000)
    assert counts == [250, 500, 1000, 2000, 5000]
    law = fit_power_law(counts, [0.1 * count**0.2 for count in counts])
    assert (law.factor, law.exponent, law.r2) == pytest.approx((0.1, 0.2, 1.0))
    assert law(10_000) == pytest.approx(0.1 * 10_000**0.2)
