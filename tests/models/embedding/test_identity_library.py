"""The identities of training, and how well a catalog's domain matches them."""

import numpy as np
import pytest

from models.arrays import Floats, unit
from models.embedding.identity_library import MIN_IDENTITY_WEIGHT, IdentityLibrary
from models.embedding.layout import DIM, NO_PICTURE, PREFIXES, PictureParts, compose_item
from models.training.embedding.class_centroids import MAX_IDENTITIES, class_centroids

IDENTITIES = 40


def directions(count: int, seed: int, width: int = 128) -> Floats:
    return unit(np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32))


def items(identities: Floats, dim: int = DIM) -> Floats:
    appearances = directions(len(identities), 9, 384)
    return np.stack(
        [
            compose_item(PictureParts(identity, appearance, appearance[:128]), None, dim=dim)
            for identity, appearance in zip(identities, appearances, strict=True)
        ]
    )


@pytest.fixture(scope="module")
def library() -> IdentityLibrary:
    return IdentityLibrary(directions(IDENTITIES, 0), known_weight=0.8)


@pytest.mark.parametrize("dim", PREFIXES)
def test_products_of_training_have_the_known_weight(library: IdentityLibrary, dim: int) -> None:
    near = unit(library.identities + 0.01 * directions(IDENTITIES, 1))
    assert library.identity_weight(items(near, dim)) == pytest.approx(0.8)


@pytest.mark.parametrize("dim", PREFIXES[1:])
def test_other_products_have_the_least_weight(library: IdentityLibrary, dim: int) -> None:
    assert library.identity_weight(items(directions(50, 2), dim)) == MIN_IDENTITY_WEIGHT


def test_half_way_between_they_have_half_the_weight(library: IdentityLibrary) -> None:
    rows = library.identities
    across = directions(IDENTITIES, 3)
    across = unit(across - (across * rows).sum(axis=1, keepdims=True) * rows)
    cosine = 0.67  # between .60 and .74
    between = cosine * rows + np.sqrt(1 - cosine**2) * across
    assert library.identity_weight(items(between)) == pytest.approx(0.4, abs=0.03)


def test_items_without_a_picture_are_left_out(library: IdentityLibrary) -> None:
    words = unit(np.ones(127, np.float32))
    without_picture = np.stack([compose_item(NO_PICTURE, words)] * 60)
    assert library.identity_weight(without_picture) == 0
    known = items(library.identities)
    assert library.identity_weight(np.concatenate([without_picture, known])) == pytest.approx(0.8)


def test_an_identity_is_the_mean_direction_of_its_pictures() -> None:
    pictures = directions(3, 4)
    centroids = class_centroids(pictures, np.array([1, 0, 1]))
    assert np.allclose(centroids, unit(np.stack([pictures[1], pictures[0] + pictures[2]])))


def test_a_large_library_is_thinned_out() -> None:
    many = np.repeat(directions(1, 5), 2 * MAX_IDENTITIES + 1, axis=0)
    assert MAX_IDENTITIES // 2 <= len(class_centroids(many, np.arange(len(many)))) <= MAX_IDENTITIES
