import numpy as np

from models.arrays import Floats
from models.images.letterbox import Frame
from models.juicer.saliency import (
    cell_pixels,
    find_background,
    patch_saliency,
    select_patches,
)

GRID = (9, 9)
EVERYWHERE = np.ones(81, bool)


def object_on_white() -> np.ndarray:
    """A noisy object of 3 × 3 patches in the middle of a white picture."""
    canvas = np.full((90, 90, 3), 255, np.uint8)
    canvas[30:60, 30:60] = np.random.default_rng(0).integers(0, 200, (30, 30, 3))
    return canvas


def middle() -> np.ndarray:
    cells = np.zeros(GRID, bool)
    cells[3:6, 3:6] = True
    return cells.reshape(-1)


def test_background_is_what_is_flat_and_reaches_the_border() -> None:
    pixels = cell_pixels(object_on_white(), GRID)
    assert (find_background(pixels, EVERYWHERE, GRID) == ~middle()).all()


def test_a_flat_region_that_does_not_reach_the_border_is_kept() -> None:
    canvas = object_on_white()
    canvas[40:50, 40:50] = 255
    found = find_background(cell_pixels(canvas, GRID), EVERYWHERE, GRID)
    assert (found == ~middle()).all()


def test_background_of_a_padded_picture_starts_at_the_pictures_border() -> None:
    inside = Frame(1 / 9, 0, 8 / 9, 1).cells(GRID)
    found = find_background(cell_pixels(object_on_white(), GRID), inside, GRID)
    assert (found == (inside & ~middle())).all()


def test_strong_patches_that_agree_with_the_whole_are_salient() -> None:
    final = np.zeros((81, 4), np.float32)
    final[:, 0] = 0.1
    final[middle(), 0] = 5.0
    final[0] = (0, 0, 3, 0)
    salience = patch_saliency(final, EVERYWHERE, np.zeros(81, bool))
    assert salience[middle()].min() == 1
    assert salience[~middle()].max() < 0.1


def test_background_and_padding_are_less_salient() -> None:
    final = np.ones((81, 4), np.float32)
    inside = Frame(0, 0, 1, 2 / 3).cells(GRID)
    salience = patch_saliency(final, inside, ~middle())
    assert salience[middle() & inside].min() == 1
    assert np.allclose(salience[~middle() & inside], 0.2)
    assert salience[~inside].max() == 0


def test_in_a_map_of_zeros_all_patches_are_equal() -> None:
    salience = patch_saliency(np.zeros((81, 4), np.float32), EVERYWHERE, np.zeros(81, bool))
    assert (salience == 1).all()


def test_a_redundant_patch_comes_after_a_new_one() -> None:
    tokens = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    salience = np.array([1.0, 0.9, 0.7], np.float32)
    assert select_patches(tokens, salience, 3).tolist() == [0, 2, 1]


def test_patches_without_saliency_are_never_kept() -> None:
    tokens: Floats = np.eye(3, dtype=np.float32)
    assert select_patches(tokens, np.array([0, 0.5, 0], np.float32), 3).tolist() == [1]
