"""Appearance: raw features in which what photos change is damped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays import Floats, unit
from models.embedding.appearance import COLOUR_WEIGHT, DEPTH_WEIGHTS, raw_features
from models.embedding.layout import APPEARANCE_WIDTH
from models.images import colour_histogram
from models.training.embedding.fit_appearance import fit_appearance

PRODUCTS, WIDTH, DEEPEST = 60, 40, 400


def normal_rows(rows: int, width: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def shop(seed: int) -> tuple[Floats, Floats]:
    """Products, and photos that differ along a few directions, the same in every shop."""
    nuisance = unit(normal_rows(4, WIDTH, 99))
    products = normal_rows(PRODUCTS, WIDTH, seed)
    changed = 8 * normal_rows(PRODUCTS, 4, seed + 1) @ nuisance
    return products, products + changed + 0.1 * normal_rows(PRODUCTS, WIDTH, seed + 2)


def recall_at_1(products: Floats, photos: Floats) -> float:
    """Share of photos that are nearest to their own product."""
    nearest = (unit(photos) @ unit(products).T).argmax(axis=1)
    return float((nearest == np.arange(len(products))).mean())


def cosine_correlation(before: Floats, after: Floats) -> float:
    """The correlation of cosines among rows before and after a map."""
    cosines = [
        (unit(rows) @ unit(rows).T)[np.triu_indices(len(rows), 1)] for rows in (before, after)
    ]
    return float(np.corrcoef(cosines[0], cosines[1])[0, 1])


@given(seed=st.integers(0, 100), depths=st.integers(1, 4))
def test_every_depth_has_its_weight_whatever_its_length(seed: int, depths: int) -> None:
    rows = [10.0**depth * normal_rows(3, 8, seed + depth) for depth in range(depths)]
    parts = np.split(raw_features(rows, normal_rows(3, 8, seed + 9)), depths + 1, axis=1)
    for part, weight in zip(parts, (*DEPTH_WEIGHTS[-depths:], COLOUR_WEIGHT), strict=True):
        assert np.allclose(np.linalg.norm(part, axis=1), weight, atol=1e-5)


def test_what_photos_change_in_one_shop_is_damped_in_another() -> None:
    products, photos = shop(1)
    appearance = fit_appearance([np.concatenate([products, photos])], [photos - products])
    others, shown = shop(50)
    assert recall_at_1(others, shown) < 0.7
    assert recall_at_1(appearance(others), appearance(shown)) > 0.95


def test_without_photos_appearances_are_features_on_fewer_axes() -> None:
    rows = normal_rows(500, WIDTH, 3) * np.linspace(2, 0.1, WIDTH, dtype=np.float32)
    appearance = fit_appearance([rows], [])
    assert cosine_correlation(rows, appearance(rows)) > 0.95


def test_classes_of_the_network_count_as_one_more_catalog() -> None:
    # Pictures differ in the first features; other rows, and the classes, in the last.
    first, last = (
        np.full(DEEPEST + colour_histogram.WIDTH, 0.1),
        np.full(DEEPEST + colour_histogram.WIDTH, 0.1),
    )
    first[:300], last[300:DEEPEST] = 1, 1
    rows, others = (
        normal_rows(3000, len(first), 6) * first,
        normal_rows(PRODUCTS, len(last), 7) * last,
    )
    classes = normal_rows(1000, DEEPEST, 8) * last[:DEEPEST]
    without, with_classes = fit_appearance([rows], []), fit_appearance([rows], [], classes)
    assert cosine_correlation(others, without(others)) < 0.5
    assert cosine_correlation(others, with_classes(others)) > 0.9


@pytest.mark.parametrize("pictures", [5, 400])
def test_appearances_have_their_width_however_few_pictures_there_were(pictures: int) -> None:
    appearance = fit_appearance([normal_rows(pictures, 300, 4)], [])
    assert appearance(normal_rows(2, 300, 5)).shape == (2, APPEARANCE_WIDTH)
    assert np.isfinite(appearance.matrix).all()
