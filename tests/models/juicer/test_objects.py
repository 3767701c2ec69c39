"""Objects: by saliency alone, and by a head on a backbone's patches."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import WeightsError
from models.images.letterbox import Frame
from models.juicer.objects import overlap, salient_objects
from models.juicer.product_head import (
    NAMES,
    PLACES,
    WIDTH,
    ProductHead,
    boxes_of,
    load_product_head,
)
from models.weights.files import write_weights

GRID = (3, 3)
WHOLE = Frame(0, 0, 1, 1)
WIDTHS = (4, 4, 4, 8)


def tensors(scale: float = 0.0) -> dict[str, np.ndarray]:
    """A head of these widths, all of whose weights are drawn with this deviation."""
    rng = np.random.default_rng(0)
    shapes = {
        "enter": (sum(WIDTHS[:3]) + PLACES, WIDTH),
        "near": (9 * WIDTH, WIDTH),
        "whole": (WIDTH, WIDTH),
        "far": (9 * WIDTH, WIDTH),
        "out": (WIDTH, 6),
    }
    drawn = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    drawn |= {f"{name}_bias": row[0] for name, row in drawn.items() if name != "whole"}
    return {name: (scale * drawn[name]).astype(np.float32) for name in NAMES}


def depths() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.standard_normal((9, width)).astype(np.float32) for width in WIDTHS]


def test_regions_of_salient_patches_are_objects_the_larger_first() -> None:
    salience = np.array([1, 0, 1, 1, 0, 0, 1, 0, 0], np.float32)
    first, second = salient_objects(salience, GRID, WHOLE).objects
    assert first.box == pytest.approx((0, 0, 1 / 3, 1))
    assert second.box == pytest.approx((2 / 3, 0, 1, 1 / 3))
    assert (first.score, second.score) == (0.75, 0.25)


def test_boxes_are_of_the_picture_without_its_padding() -> None:
    salience = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0], np.float32)
    (found,) = salient_objects(salience, GRID, Frame(0, 1 / 3, 1, 2 / 3)).objects
    assert found.box == pytest.approx((0, 0, 1, 1))


def test_nothing_salient_is_no_object() -> None:
    assert salient_objects(np.zeros(9, np.float32), GRID, WHOLE).objects == ()


def test_overlap_is_one_of_the_same_and_none_of_others() -> None:
    others = np.array([[0, 0, 1, 1], [0.5, 0, 1, 1], [2, 2, 3, 3]], np.float32)
    assert overlap((0.0, 0.0, 1.0, 1.0), others).tolist() == [1, 0.5, 0]


def test_boxes_reach_from_the_middles_of_patches() -> None:
    boxes = boxes_of(np.zeros((9, 4), np.float32), GRID)
    assert boxes[4] == pytest.approx([0.25, 0.25, 0.75, 0.75])


def test_patches_that_mean_the_same_box_are_one_object() -> None:
    still = tensors()
    still["out_bias"] = np.array([0, 2, 3, 3, 3, 3], np.float32)  # from each patch all of it
    (found,) = ProductHead(still)(depths(), WHOLE, GRID).objects
    assert found.box == (0, 0, 1, 1)
    assert found.score == pytest.approx(0.8808, abs=1e-4)


def test_the_product_is_the_whole_picture_where_no_object_is_sure() -> None:
    unsure = tensors()
    unsure["out_bias"] = np.array([0, 0, -1, -1, -1, -1], np.float32)
    products = ProductHead(unsure)(depths(), WHOLE, GRID)
    assert products.objects
    assert products.box == (0, 0, 1, 1)


def test_padding_is_no_product_and_has_no_objects() -> None:
    products = ProductHead(tensors(0.3))(depths(), Frame(0, 0, 1, 1 / 3), GRID)
    assert products.share[3:].max() == 0
    assert products.share[:3].min() > 0
    assert all(0 <= edge <= 1 for one in products.objects for edge in one.box)


def test_a_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    path, written = tmp_path / "head.safetensors", tensors(0.3)
    write_weights(path, written, {})
    read = load_product_head(path, WIDTHS)
    assert all((read.tensors[name] == written[name]).all() for name in NAMES)


def test_a_head_of_another_backbone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    write_weights(path, tensors(), {})
    with pytest.raises(WeightsError, match="another backbone"):
        load_product_head(path, (5, 4, 4, 8))
