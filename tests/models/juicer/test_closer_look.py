"""A closer look at objects, by a source that says what it was shown."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.images.letterbox import Picture
from models.juicer.closer_look import LEAST_SCORE, look_closer
from models.juicer.objects import FoundObject


class Source:
    """Finds the same objects in whatever it is shown."""

    layout = None
    grid = (1, 1)

    def __init__(self, *objects: FoundObject) -> None:
        self.objects = objects
        self.shown: list[tuple[int, ...]] = []

    def features(self, pictures: Sequence[Picture]) -> list[Any]:
        self.shown += [one.shape for one in pictures]
        return [SimpleNamespace(products=SimpleNamespace(objects=self.objects)) for _ in pictures]


PICTURE = np.zeros((100, 100, 3), np.uint8)
FIRST = FoundObject((0.4, 0.4, 0.6, 0.6), 0.9)


def test_the_box_of_the_closer_look_takes_the_place_of_the_first() -> None:
    source = Source(FoundObject((0.3, 0.25, 0.75, 0.75), 0.8))
    (found,) = look_closer(PICTURE, [FIRST], source)
    assert source.shown == [(40, 40, 3)]
    assert found.box == pytest.approx((0.42, 0.4, 0.6, 0.6))
    assert found.score == FIRST.score


def test_what_is_another_object_there_does_not() -> None:
    source = Source(FoundObject((0.0, 0.0, 0.2, 0.2), 0.9))
    assert look_closer(PICTURE, [FIRST], source) == (FIRST,)


def test_two_that_are_one_on_a_closer_look_are_found_once() -> None:
    source = Source()
    assert look_closer(PICTURE, [FIRST, FoundObject((0.4, 0.4, 0.6, 0.61), 0.5)], source) == (
        FIRST,
    )


def test_what_is_hardly_there_is_not_looked_at() -> None:
    source = Source()
    assert look_closer(PICTURE, [FoundObject(FIRST.box, LEAST_SCORE - 0.01)], source) == ()
    assert source.shown == []
