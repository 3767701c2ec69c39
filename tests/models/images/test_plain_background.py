import numpy as np
import pytest

from models.images.letterbox import Picture
from models.images.plain_background import plain_background


def disc(background: int = 250, product: int = 90) -> tuple[Picture, np.ndarray]:
    """A disc with a hole of the background's colour, and where the disc is, hole included."""
    rows, columns = np.mgrid[:64, :48]
    distance = np.hypot(rows - 32, columns - 24)
    picture = np.full((64, 48, 3), background, np.uint8)
    picture[distance < 18] = product
    picture[distance < 5] = background
    return picture, distance < 18


@pytest.mark.parametrize("background", [0, 128, 255])
def test_what_is_connected_with_the_border_is_background(background: int) -> None:
    picture, product = disc(background, product=(background + 100) % 256)
    assert (plain_background(picture, 0.5) == ~product).all()


def test_a_winding_background_is_found_to_its_end() -> None:
    picture = np.full((41, 41, 3), 255, np.uint8)
    for turn in range(1, 20, 4):  # walls with gaps at alternating ends
        picture[2 * turn, : 40 if turn % 8 == 1 else 41] = 0
        picture[2 * turn, 0 if turn % 8 == 1 else 40] = 0
    white = (picture == 255).all(axis=2)
    assert (plain_background(picture, 0.5) == white).all()


def test_a_border_of_many_colours_is_no_background() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    assert not plain_background(noise, 0.5).any()


def test_a_picture_of_one_colour_is_all_product() -> None:
    assert not plain_background(np.full((30, 30, 3), 200, np.uint8), 0.5).any()


def test_how_plain_a_border_must_be_is_asked_for() -> None:
    picture, _ = disc()
    picture[0] = picture[1] = 20  # a quarter of the border
    assert plain_background(picture, 0.5).any()
    assert not plain_background(picture, 0.95).any()
