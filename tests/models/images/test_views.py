import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.images.letterbox import Picture, check_picture
from models.images.views import SIDE, catalog_view


def noise(height: int, width: int, seed: int) -> Picture:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)


def packshot() -> Picture:
    picture = np.full((300, 200, 3), 255, np.uint8)
    picture[80:220, 60:140] = (200, 30, 30)
    return picture


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(8, 400), min_size=4, max_size=4),
    number=st.integers(0, 5),
    seed=st.integers(0, 1000),
)
def test_views_are_pictures_whatever_they_are_made_of(
    sizes: list[int], number: int, seed: int
) -> None:
    picture, other = noise(sizes[0], sizes[1], seed), noise(sizes[2], sizes[3], seed + 1)
    view = catalog_view(picture, other, number, np.random.default_rng(seed))
    check_picture(view)
    assert max(view.shape[:2]) <= SIDE


def test_the_same_random_state_gives_the_same_view() -> None:
    one, same, different = (
        catalog_view(packshot(), noise(90, 90, 3), 0, np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert one.shape != different.shape or (one != different).any()


def test_a_packshot_is_shown_before_another_picture_and_stays_itself() -> None:
    blue = np.full((100, 100, 3), (20, 40, 220), np.uint8)
    for seed in range(8):
        view = catalog_view(packshot(), blue, 0, np.random.default_rng(seed)).astype(int)
        red = (view[..., 0] > view[..., 2] + 60).mean()
        behind = (view[..., 2] > view[..., 0] + 60).mean()
        white = (view.min(axis=2) > 200).mean()
        assert red > 0.02
        assert behind > 0.2
        assert white < 0.05


def test_mild_views_change_the_light_less_than_strong_ones() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    grey[::2] = 100  # not plain at the border
    changes = {
        number: np.std(
            [
                catalog_view(grey, grey, number, np.random.default_rng(seed)).mean()
                for seed in range(40)
            ]
        )
        for number in (0, 1)
    }
    assert changes[0] < 0.75 * changes[1]
