"""Scenes of several products, without rendering them."""

import pytest

from models.synthetic.arrangement import arrange
from models.synthetic.near_duplicates import sample_product

THREE = [sample_product(3, number) for number in (0, 2, 4)]


@pytest.mark.parametrize("number", range(6))
def test_products_stand_side_by_side_inside_the_picture(number: int) -> None:
    scene = arrange(THREE, number)
    assert len(scene.boxes) == len(scene.scene.products) == 3
    for left, top, right, bottom in scene.boxes:
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
    middles = [(box[0] + box[2]) / 2 for box in scene.boxes]
    assert middles == sorted(middles)


def test_a_scene_is_the_same_each_time_and_others_differ() -> None:
    assert arrange(THREE, 1).boxes == arrange(THREE, 1).boxes
    assert arrange(THREE, 1).boxes != arrange(THREE, 2).boxes
