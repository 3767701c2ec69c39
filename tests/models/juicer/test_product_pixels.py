import numpy as np

from models.images.letterbox import letterbox
from models.juicer.product_pixels import product_pixels

GRID = (9, 9)


def test_a_product_before_a_plain_background_is_all_that_counts() -> None:
    picture = np.full((300, 200, 3), 255, np.uint8)
    picture[100:200, 50:150] = (200, 30, 30)
    canvas, frame = letterbox(picture, 260)
    pixels, weights = product_pixels(canvas, frame, np.ones(81, np.float32), GRID)
    share = weights / weights.sum()
    red = pixels[:, 0] > pixels[:, 2] + 50
    assert share[red].sum() > 0.9
    grey = (pixels == 127).all(axis=1)
    assert not grey.any()  # the canvas beside the picture


def test_salient_pixels_count_more() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (260, 260, 3)).astype(np.uint8)
    canvas, frame = letterbox(noise, 260)
    salience = np.zeros(GRID, np.float32)
    salience[:, 5:] = 1
    _, weights = product_pixels(canvas, frame, salience.reshape(-1), GRID)
    by_column = weights.reshape(65, 65).sum(axis=0)
    assert by_column[45:].min() > 100 * by_column[:28].max()


def test_a_picture_without_any_product_has_colours_all_the_same() -> None:
    canvas, frame = letterbox(np.full((90, 90, 3), 40, np.uint8), 260)
    _, weights = product_pixels(canvas, frame, np.zeros(81, np.float32), GRID)
    assert weights.sum() > 0
