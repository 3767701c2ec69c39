"""Appearance and colour: features on fewer axes, which keep the cosines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays import Floats, unit
from models.embedding.appearance import DEPTH_WEIGHTS, raw_features
from models.embedding.layout import APPEARANCE_WIDTH, COLOUR_WIDTH
from models.training.embedding.fit_appearance import fit_appearance, fit_colour

PRODUCTS, WIDTH, DEEPEST = 60, 40, 500


def normal_rows(rows: int, width: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def cosine_correlation(before: Floats, after: Floats) -> float:
    """The correlation of cosines among rows before and after a map."""
    cosines = [
        (unit(rows) @ unit(rows).T)[np.triu_indices(len(rows), 1)] for rows in (before, after)
    ]
    return float(np.corrcoef(cosines[0], cosines[1])[0, 1])


@given(seed=st.integers(0, 100), depths=st.integers(1, 4))
def test_every_depth_has_its_weight_whatever_its_length(seed: int, depths: int) -> None:
    rows = [10.0**depth * normal_rows(3, 8, seed + depth) for depth in range(depths)]
    parts = np.split(raw_features(rows), depths, axis=1)
    for part, weight in zip(parts, DEPTH_WEIGHTS[-depths:], strict=True):
        assert np.allclose(np.linalg.norm(part, axis=1), weight, atol=1e-5)


def test_cosines_are_kept_where_the_axes_suffice() -> None:
    rows, others = normal_rows(500, WIDTH, 3), normal_rows(PRODUCTS, WIDTH, 4)
    for fitted in (fit_appearance([rows]), fit_colour([rows])):
        assert cosine_correlation(others, fitted(others)) > 0.9999


def test_classes_of_the_network_count_beside_the_catalogs() -> None:
    # Pictures differ in the first features; other rows, and the classes, in the last.
    first, last = np.full(DEEPEST, 0.05), np.full(DEEPEST, 0.05)
    first[:400], last[400:] = 1, 1
    rows = normal_rows(3000, DEEPEST, 6) * first
    others = normal_rows(PRODUCTS, DEEPEST, 7) * last
    classes = normal_rows(1000, DEEPEST, 8) * last
    without, with_classes = fit_appearance([rows]), fit_appearance([rows], classes)
    without_correlation = cosine_correlation(others, without(others))
    assert without_correlation < 0.7
    assert cosine_correlation(others, with_classes(others)) > without_correlation + 0.1


@pytest.mark.parametrize("pictures", [5, 600])
def test_both_have_their_width_however_few_pictures_there_were(pictures: int) -> None:
    rows = normal_rows(pictures, 450, 4)
    assert fit_appearance([rows])(normal_rows(2, 450, 5)).shape == (2, APPEARANCE_WIDTH)
    assert fit_colour([rows])(normal_rows(2, 450, 5)).shape == (2, COLOUR_WIDTH)
