import numpy as np
import pytest

from models.images.letterbox import Picture
from models.training.embedding.augmentation import VIEW_SIZE, random_view, segment_foreground


def on_white(height: int = 120, width: int = 90) -> Picture:
    """A red disc with a white hole on white."""
    y, x = np.mgrid[:height, :width]
    far = np.hypot(y - height / 2, x - width / 2)
    picture = np.full((height, width, 3), 250, np.uint8)
    picture[(far < 35) & (far > 8)] = (200, 30, 40)
    return picture


def noise(seed: int, height: int = 100, width: int = 140) -> Picture:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_same_state_gives_the_same_view() -> None:
    for seed in range(30):
        one = random_view(on_white(), np.random.default_rng(seed), [noise(1)])
        other = random_view(on_white(), np.random.default_rng(seed), [noise(1)])
        assert one.tobytes() == other.tobytes()
        assert one.dtype == np.uint8
        assert one.ndim == 3
        assert max(one.shape[:2]) <= VIEW_SIZE


def test_views_differ() -> None:
    random = np.random.default_rng(0)
    assert len({random_view(noise(0), random).tobytes() for _ in range(20)}) == 20


def test_a_product_on_a_plain_background_is_segmented() -> None:
    product = segment_foreground(on_white())
    assert product is not None
    assert product[60, 45]  # the hole is not connected to the border
    assert product[60, 20]
    assert not product[:10].any()
    assert 0.25 < product.mean() < 0.5


@pytest.mark.parametrize(
    "picture", [noise(3), np.full((40, 40, 3), 255, np.uint8)], ids=["scene", "nothing"]
)
def test_scenes_and_blank_pictures_are_not_segmented(picture: Picture) -> None:
    assert segment_foreground(picture) is None


def test_a_segmented_product_is_pasted_on_the_given_backgrounds() -> None:
    blue = np.zeros((64, 64, 3), np.uint8)
    blue[..., 2] = 255
    random = np.random.default_rng(0)
    corners = [random_view(on_white(), random, [blue])[0, 0].astype(int) for _ in range(40)]
    blueish = sum(corner[2] > corner[0] + 60 for corner in corners)
    assert blueish > 10


def test_the_smallest_pictures_have_views() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        assert min(random_view(noise(1, 8, 9), random).shape[:2]) >= 8
