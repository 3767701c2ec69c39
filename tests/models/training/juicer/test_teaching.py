"""Pictures whose products are known, what the head is to say of them, and a head that learns it."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from models.images.letterbox import Frame
from models.juicer.objects import overlap
from models.training.juicer.pictures import cut_out, pasted
from models.training.juicer.targets import Targets, answers

GRID = (9, 9)


def product() -> np.ndarray:
    """A red disc on white."""
    image = Image.new("RGB", (80, 60), "white")
    ImageDraw.Draw(image).ellipse((20, 10, 59, 49), fill="red")
    return np.asarray(image)


def test_a_product_on_a_plain_background_is_cut_out() -> None:
    found = cut_out(product())
    assert found is not None
    assert found.size == (40, 40)
    assert found.getchannel("A").getpixel((0, 0)) == 0
    assert found.getchannel("A").getpixel((20, 20)) == 255


def test_what_has_no_plain_background_is_not() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)
    assert cut_out(noise) is None


def test_masks_lie_in_the_boxes_of_pasted_products() -> None:
    cutout = cut_out(product())
    assert cutout is not None
    for taught in pasted([cutout], [], 3, range(20)):
        height, width = taught.mask.shape
        assert taught.picture.shape == (height, width, 3)
        for y, x in np.argwhere(taught.mask)[::97]:
            at = (x + 0.5) / width, (y + 0.5) / height
            assert any(
                left <= at[0] <= right and top <= at[1] <= bottom
                for left, top, right, bottom in taught.boxes
            )


def test_patches_near_the_middle_answer_for_an_object() -> None:
    score, boxes, weights = answers([(0.0, 0.0, 1.0, 1.0)], [1.0], GRID)
    assert score.argmax() == 40
    assert score.max() == 1
    assert weights.reshape(GRID)[0].max() == 0
    assert (boxes[weights > 0] == (0, 0, 1, 1)).all()


def test_the_smaller_object_answers_where_two_meet() -> None:
    _, boxes, _ = answers([(0.4, 0.4, 0.6, 0.6), (0.0, 0.0, 1.0, 1.0)], [1.0, 1.0], GRID)
    assert boxes[40] == pytest.approx([0.4, 0.4, 0.6, 0.6])


def test_an_object_smaller_than_a_patch_has_one_that_answers() -> None:
    _, _, weights = answers([(0.01, 0.01, 0.02, 0.02)], [1.0], GRID)
    assert np.flatnonzero(weights).tolist() == [0]


@pytest.mark.slow
@pytest.mark.torch
def test_a_head_learns_where_objects_are() -> None:
    from models.training.juicer.fit import fit_head

    rng = np.random.default_rng(0)
    targets = [_bright(rng) for _ in range(128)]
    head = fit_head(targets, GRID, passes=40)
    overlaps = []
    for one in targets[:20]:
        maps = head.maps(one.rows, one.inside, GRID)
        products = head.products(maps, Frame(0, 0, 1, 1), GRID)
        known = one.boxes[one.weights > 0][0]
        overlaps.append(overlap(products.objects[0].box, known[None])[0])
    assert np.mean(overlaps) > 0.5


def _bright(rng: np.random.Generator) -> Targets:
    """Features that are the share of a square that is somewhere."""
    side = rng.uniform(0.25, 0.5)
    left, top = rng.uniform(0, 1 - side, 2)
    edges = np.arange(10) / 9
    across, down = (
        np.clip(np.minimum(edges[1:], low + side) - np.maximum(edges[:-1], low), 0, None) * 9
        for low in (left, top)
    )
    share = np.outer(down, across).reshape(-1).astype(np.float32)
    y, x = (np.mgrid[:9, :9] + 0.5) / 4.5 - 1
    rows = np.stack([share, x.reshape(-1), y.reshape(-1), (x**2 + y**2).reshape(-1)], axis=1)
    box = (left, top, left + side, top + side)
    return Targets(rows.astype(np.float32), np.ones(81, bool), share, *answers([box], [1.0], GRID))
