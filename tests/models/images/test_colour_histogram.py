import numpy as np
import pytest

from models.arrays import Floats
from models.images.colour_histogram import COARSE, FINE, Bins, colour_histogram, to_lab

ONES = np.ones(4, np.float32)
BINS = pytest.mark.parametrize("bins", [COARSE, FINE])


def pixels(*colours: tuple[int, int, int]) -> Floats:
    return np.repeat(np.array(colours, np.float32), 4, axis=0)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
    ],
)
def test_known_colours(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    assert to_lab(np.array([rgb], np.float32))[0] == pytest.approx(lab, abs=0.1)


@BINS
def test_descriptors_have_length_one(bins: Bins) -> None:
    weights = np.repeat(np.array([1, 3], np.float32), 4)
    found = colour_histogram(pixels((10, 20, 30), (200, 100, 0)), weights, bins)
    assert found.shape == (bins.width,)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


@BINS
def test_like_colours_are_near_and_unlike_ones_far(bins: Bins) -> None:
    red, crimson, green = (
        colour_histogram(pixels(rgb), ONES, bins)
        for rgb in ((200, 30, 30), (197, 33, 31), (30, 160, 40))
    )
    assert red @ crimson > 0.85
    assert red @ green < 0.2


def test_fine_bins_part_what_coarse_ones_confuse() -> None:
    shades = [pixels(rgb) for rgb in ((200, 30, 30), (185, 38, 42))]
    coarse, fine = (
        colour_histogram(shades[0], ONES, bins) @ colour_histogram(shades[1], ONES, bins)
        for bins in (COARSE, FINE)
    )
    assert fine < coarse - 0.05


def test_pixels_count_by_their_weight() -> None:
    both = pixels((200, 30, 30), (30, 160, 40))
    only_red = colour_histogram(both, np.repeat(np.array([1, 0], np.float32), 4))
    assert only_red == pytest.approx(colour_histogram(both[:4], ONES))
