import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import PictureError
from models.images.letterbox import Frame, letterbox, normalise

SIDES = st.integers(8, 200)


def plain(height: int, width: int, value: int = 200) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@given(SIDES, SIDES)
def test_the_picture_keeps_its_aspect_ratio(height: int, width: int) -> None:
    canvas, frame = letterbox(plain(height, width), 64)
    shown = (canvas == 200).all(axis=2)
    assert canvas.shape == (64, 64, 3)
    assert shown.any(axis=1).sum() == max(1, round(height * 64 / max(height, width)))
    assert shown.any(axis=0).sum() == max(1, round(width * 64 / max(height, width)))
    assert shown.sum() == round((frame.right - frame.left) * 64) * round(
        (frame.bottom - frame.top) * 64
    )


@given(SIDES, SIDES, st.sampled_from([(9, 9), (7, 7), (8, 6)]))
def test_some_patch_always_shows_the_picture(
    height: int, width: int, grid: tuple[int, int]
) -> None:
    _, frame = letterbox(plain(height, width), 64)
    assert frame.cells(grid).any()


def test_patches_on_the_padding_do_not_count() -> None:
    _, frame = letterbox(plain(90, 30), 90)
    cells = frame.cells((9, 9)).reshape(9, 9)
    assert cells.all(axis=0).tolist() == [False] * 3 + [True] * 3 + [False] * 3


def test_boxes_are_relative_to_the_picture() -> None:
    frame = Frame(0.25, 0.0, 0.75, 1.0)
    assert frame.to_picture((0.25, 0.0, 0.5, 1.0)) == (0.0, 0.0, 0.5, 1.0)
    assert frame.to_picture((0.0, 0.2, 1.0, 0.8)) == (0.0, 0.2, 1.0, 0.8)


def test_padding_is_zero_to_the_network() -> None:
    signal = normalise(letterbox(plain(8, 16), 16)[0])
    assert signal.shape == (3, 16, 16)
    assert signal[:, 0].max() == signal[:, -1].min() == 0
    assert signal[:, 8] == pytest.approx((200 - 127) / 128)


@pytest.mark.parametrize(
    ("picture", "complaint"),
    [
        (np.zeros((20, 20, 3), np.float32), "float32"),
        (np.zeros((20, 20), np.uint8), r"\(20, 20\)"),
        (np.zeros((20, 20, 4), np.uint8), r"\(20, 20, 4\)"),
        (np.zeros((7, 20, 3), np.uint8), "20 × 7 px"),
    ],
)
def test_what_is_no_picture_is_refused(picture: np.ndarray, complaint: str) -> None:
    with pytest.raises(PictureError, match=complaint):
        letterbox(picture, 64)
