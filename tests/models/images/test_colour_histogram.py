import numpy as np
import pytest

from models.arrays import Floats
from models.images.colour_histogram import WIDTH, colour_histogram, to_lab


def cells(*colours: tuple[int, int, int]) -> Floats:
    return np.repeat(np.array(colours, np.float32)[:, None], 4, axis=1)


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


def test_descriptors_have_length_one() -> None:
    found = colour_histogram(cells((10, 20, 30), (200, 100, 0)), np.array([1, 3], np.float32))
    assert found.shape == (WIDTH,)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_like_colours_are_near_and_unlike_ones_far() -> None:
    one = np.ones(1, np.float32)
    red, crimson, green = (
        colour_histogram(cells(rgb), one) for rgb in ((200, 30, 30), (190, 40, 35), (30, 160, 40))
    )
    assert red @ crimson > 0.85
    assert red @ green < 0.2


def test_patches_count_by_their_weight() -> None:
    pixels = cells((200, 30, 30), (30, 160, 40))
    only_red = colour_histogram(pixels, np.array([1, 0], np.float32))
    assert only_red == pytest.approx(colour_histogram(pixels[:1], np.ones(1, np.float32)))
