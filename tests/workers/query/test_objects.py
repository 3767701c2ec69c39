"""Queries whose objects are looked for: a group for each."""

import numpy as np
import pytest

from models.embedding.layout import PartWeights
from models.images.letterbox import Picture
from models.juicer.objects import FoundObject
from stream.messages import ObjectGroup, Query, Result, ResultItem
from tests.doubles.colours import ColourEncoder, pixels
from workers.query.objects import ask_objects, cropped
from workers.query.result import impression

RIGHT, LEFT = (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 0.5, 1.0)


class SeeingTwo(ColourEncoder):
    """Finds the two halves of any picture, the right one first; and something unsure."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = scores or (0.9, 0.8)

    def find_objects(self, picture: Picture) -> tuple[FoundObject, ...]:
        """One object of each score."""
        boxes = (RIGHT, LEFT, (0.25, 0.0, 0.75, 1.0))
        return tuple(map(FoundObject, boxes, self.scores))


def scene() -> Picture:
    """Red on the left, blue on the right."""
    return np.concatenate([pixels("red"), pixels("blue")], axis=1)


def test_each_object_is_asked_by_its_part_of_the_picture_from_the_left() -> None:
    encoder = SeeingTwo()
    asked = ask_objects(encoder, scene(), None, PartWeights())
    assert [one.found.box for one in asked] == [LEFT, RIGHT]
    red, blue = encoder.encode_items([pixels("red"), pixels("blue")], [None, None])
    assert asked[0].encoded.vector @ red.vector > asked[0].encoded.vector @ blue.vector
    assert asked[1].encoded.vector @ blue.vector > asked[1].encoded.vector @ red.vector


def test_one_object_is_the_picture_itself() -> None:
    assert ask_objects(SeeingTwo(0.9), scene(), None, PartWeights()) == []


def test_an_object_is_cut_out_with_a_margin_inside_the_picture() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    assert cropped(picture, FoundObject((0.5, 0.0, 1.0, 0.5), 1.0)).shape == (52, 104, 3)


def test_objects_are_looked_for_in_one_picture() -> None:
    with pytest.raises(ValueError, match="field `objects`"):
        Query(query_id="q", text="shoes", objects="auto")
    with pytest.raises(ValueError, match="field `objects`"):
        Query(query_id="q", image="a.png", like=("4711",), objects="auto")


def item(product_id: str, position: int) -> ResultItem:
    return ResultItem(
        product_id=product_id,
        item_id=f"{product_id}#0",
        probability=0.5,
        level=0,
        position=position,
    )


def test_products_of_groups_are_seen_after_those_of_the_list() -> None:
    groups = (
        ObjectGroup(box=LEFT, score=0.9, items=(item("b", 1), item("c", 2))),
        ObjectGroup(box=RIGHT, score=0.8, items=(item("d", 1),)),
    )
    result = Result(query_id="q", items=(item("a", 1), item("b", 2)), groups=groups)
    shown = impression(result, 0).items
    assert [(one.product_id, one.position) for one in shown] == [
        ("a", 1),
        ("b", 2),
        ("c", 3),
        ("d", 4),
    ]
