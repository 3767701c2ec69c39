"""Looks: raw features in which what photos change is played down."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays import Floats, unit
from models.embedding.appearance import COLOUR_WEIGHT, DEPTH_WEIGHTS, raw
from models.embedding.layout import APPEARANCE_WIDTH
from models.images import colour_histogram
from models.training.embedding.fit_appearance import fit_appearance

THINGS, WIDTH, DEEPEST = 60, 40, 400


def drawn(rows: int, width: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def shop(seed: int) -> tuple[Floats, Floats]:
    """Products, and photos of them in other lights: some directions, the same in every shop."""
    lights = unit(drawn(4, WIDTH, 99))
    products = drawn(THINGS, WIDTH, seed)
    changed = 8 * drawn(THINGS, 4, seed + 1) @ lights
    return products, products + changed + 0.1 * drawn(THINGS, WIDTH, seed + 2)


def found(products: Floats, photos: Floats) -> float:
    """Share of photos that are nearest to their own product."""
    nearest = (unit(photos) @ unit(products).T).argmax(axis=1)
    return float((nearest == np.arange(len(products))).mean())


def alike(before: Floats, after: Floats) -> float:
    """How far the cosines among rows are those among others."""
    cosines = [
        (unit(rows) @ unit(rows).T)[np.triu_indices(len(rows), 1)] for rows in (before, after)
    ]
    return float(np.corrcoef(cosines[0], cosines[1])[0, 1])


@given(seed=st.integers(0, 100), depths=st.integers(1, 4))
def test_every_depth_weighs_what_it_should_however_strong_it_is(seed: int, depths: int) -> None:
    rows = [10.0**depth * drawn(3, 8, seed + depth) for depth in range(depths)]
    parts = np.split(raw(rows, drawn(3, 8, seed + 9)), depths + 1, axis=1)
    for part, weight in zip(parts, (*DEPTH_WEIGHTS[-depths:], COLOUR_WEIGHT), strict=True):
        assert np.allclose(np.linalg.norm(part, axis=1), weight, atol=1e-5)


def test_what_photos_change_in_one_shop_is_played_down_in_another() -> None:
    products, photos = shop(1)
    appearance = fit_appearance([np.concatenate([products, photos])], [photos - products])
    others, shown = shop(50)
    assert found(others, shown) < 0.7
    assert found(appearance(others), appearance(shown)) > 0.95


def test_without_photos_looks_are_features_on_fewer_axes() -> None:
    rows = drawn(500, WIDTH, 3) * np.linspace(2, 0.1, WIDTH, dtype=np.float32)
    appearance = fit_appearance([rows], [])
    assert alike(rows, appearance(rows)) > 0.95


def test_what_the_network_was_first_taught_counts_as_one_more_catalog() -> None:
    # Pictures differ in the first features, and other things in the last, as classes do.
    first, last = (
        np.full(DEEPEST + colour_histogram.WIDTH, 0.1),
        np.full(DEEPEST + colour_histogram.WIDTH, 0.1),
    )
    first[:300], last[300:DEEPEST] = 1, 1
    rows, others = (drawn(3000, len(first), 6) * first, drawn(THINGS, len(last), 7) * last)
    classes = drawn(1000, DEEPEST, 8) * last[:DEEPEST]
    without, told = fit_appearance([rows], []), fit_appearance([rows], [], classes)
    assert alike(others, without(others)) < 0.5
    assert alike(others, told(others)) > 0.9


@pytest.mark.parametrize("pictures", [5, 400])
def test_looks_have_their_width_however_few_pictures_there_were(pictures: int) -> None:
    appearance = fit_appearance([drawn(pictures, 300, 4)], [])
    assert appearance(drawn(2, 300, 5)).shape == (2, APPEARANCE_WIDTH)
    assert np.isfinite(appearance.matrix).all()
