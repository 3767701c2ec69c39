"""What a catalog has learned is kept if its exam passes, and read as it was written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.arrays import Floats, unit
from models.embedding.adapt import MIN_PRODUCTS, Exam, examine
from models.embedding.adaptation import (
    Adaptation,
    adapt_weights,
    read_adaptation,
    write_adaptation,
)
from models.embedding.layout import (
    PartWeights,
    picture_indices,
)
from models.embedding.part_weights import Witnesses
from models.embedding.query_map import QueryMap
from models.errors import AdaptationError, WeightsError
from models.weights.files import write_tensors

DIM = 64
"""The shortest vectors: they have all the parts, and tests on them take no time."""
WEIGHTS = PartWeights.with_identity(0.25)


def catalog(products: int, *, nuisance: float, noise: float, seed: int = 0) -> Witnesses:
    """Items at random, four views of each.

    Views differ from their item along three directions that they have in common (light, say), and
    in every direction alike.
    """
    rng = np.random.default_rng(seed)
    inside = picture_indices(DIM)

    def vectors(pictures: Floats) -> Floats:
        rows = np.zeros((len(pictures), DIM), np.float32)
        rows[:, inside] = unit(pictures)
        return rows

    items = unit(rng.normal(size=(products, len(inside))).astype(np.float32))
    shown = np.repeat(np.arange(products), 4)
    directions = np.linalg.qr(rng.normal(size=(len(inside), 3)))[0].T
    moved = rng.normal(size=(len(shown), 3)) @ directions
    spread = rng.normal(size=(len(shown), len(inside))) / np.sqrt(len(inside))
    views = items[shown] + nuisance * moved + noise * spread
    return Witnesses(
        vectors(items),
        np.arange(products),
        np.full(products, -1),
        vectors(views.astype(np.float32)),
        shown,
    )


@pytest.mark.parametrize("seed", range(4))
def test_views_of_who_knows_what_pass_no_exam(seed: int) -> None:
    found = catalog(120, nuisance=0.0, noise=2.0, seed=seed)
    shuffled = replace(found, shown=np.random.default_rng(seed).permutation(found.shown))
    weights, exam = adapt_weights(shuffled, WEIGHTS)
    assert not exam.passed
    assert weights is WEIGHTS


def test_the_weights_that_passed_carry_a_map_and_are_otherwise_the_same() -> None:
    weights, exam = adapt_weights(catalog(120, nuisance=1.0, noise=0.5), WEIGHTS)
    assert exam.passed
    assert weights.query_map is not None
    assert replace(weights, query_map=None) == WEIGHTS


def test_too_few_products_are_an_error_that_says_how_many_there_must_be() -> None:
    few = MIN_PRODUCTS - 1
    with pytest.raises(AdaptationError, match=f"{MIN_PRODUCTS} products.*there are {few}"):
        examine(catalog(few, nuisance=1.0, noise=0.5), WEIGHTS)
    many = catalog(200, nuisance=1.0, noise=0.5)
    seen = many.shown < few
    with pytest.raises(AdaptationError, match=f"there are {few}"):
        examine(replace(many, views=many.views[seen], shown=many.shown[seen]), WEIGHTS)


EXAM = Exam(30, 120, 0.5, 0.75, 0.6, 0.8, 0.45, 0.05, -0.2, 0.1)


def adaptation(width: int = 3, model_id: str = "one") -> Adaptation:
    matrix = np.arange(width * width, dtype=np.float32).reshape(width, width)
    query_map = QueryMap(matrix, np.ones(width, np.float32))
    weights = replace(WEIGHTS, query_map=query_map)
    return Adaptation(model_id, weights, "abc", EXAM, 200, 1_700_000_000.5)


def test_an_adaptation_is_read_as_it_was_written(tmp_path: Path) -> None:
    written, path = adaptation(), tmp_path / "new" / "adaptation.safetensors"
    write_adaptation(path, written)
    read = read_adaptation(path)
    assert read.weights.query_map is not None
    assert written.weights.query_map is not None
    assert np.array_equal(read.weights.query_map.matrix, written.weights.query_map.matrix)
    assert np.array_equal(read.weights.query_map.offset, written.weights.query_map.offset)
    plain = replace(read, weights=replace(read.weights, query_map=None))
    assert plain == replace(written, weights=WEIGHTS)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_damaged_adaptation_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "adaptation.safetensors"
    with pytest.raises(FileNotFoundError):
        read_adaptation(path)
    for damage in (b"", b"no tensors"):
        path.write_bytes(damage)
        with pytest.raises(WeightsError, match=r"damaged.*lookstream adapt --undo"):
            read_adaptation(path)
    good = {"matrix": np.zeros((3, 3), np.float32), "offset": np.zeros(3, np.float32)}
    write_adaptation(path, adaptation())
    card = {
        "model_id": "one",
        "weights": {"identity": 1, "appearance": 1, "colour": 1, "text": 1},
        "weights_version": "",
        "exam": {},
        "items": 1,
        "made_at": 0,
    }
    for tensors in (
        good,  # its exam has no figures
        {"matrix": good["matrix"]},
        good | {"matrix": np.zeros((3, 2), np.float32)},
        good | {"offset": np.full(3, np.nan, np.float32)},
    ):
        write_tensors(path, tensors, card)
        with pytest.raises(WeightsError, match="damaged"):
            read_adaptation(path)
