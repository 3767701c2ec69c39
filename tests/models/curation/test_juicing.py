"""Smaller training sets: crops, agreement, and which samples stay."""

from __future__ import annotations

import numpy as np
import pytest

from models.arrays import Box
from models.curation.juicing import Sample, Way, chosen, crop_to_juice, measure_agreement
from models.embedding.protocol import Encoded
from models.juicer.juice import Juice
from models.juicer.packed_matrix import PackedMatrix
from tests.doubles.colours import ColourEncoder


def picture(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows % 256, columns % 256, 0 * rows], axis=-1).astype(np.uint8)


def test_a_picture_is_cropped_towards_its_box_with_a_margin() -> None:
    part = crop_to_juice(picture(200, 100), (0.3, 0.5, 0.7, 0.8), keep=0.04)
    rows, columns = part[:, 0, 0].astype(int), part[0, :, 1].astype(int)
    # .45 to .85 of 200 and .25 to .75 of 100 are a fifth of it, √keep, and are then brought down
    assert (rows.min(), rows.max()) == (pytest.approx(90, abs=4), pytest.approx(170, abs=4))
    assert (columns.min(), columns.max()) == (pytest.approx(25, abs=3), pytest.approx(75, abs=3))
    assert part.shape[0] * part.shape[1] < 0.06 * 200 * 100


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("box", [(0.4, 0.4, 0.5, 0.9), (0.0, 0.7, 0.2, 1.0), (0.9, 0.0, 1.0, 1.0)])
def test_as_much_is_cropped_as_brought_down(keep: float, box: Box) -> None:
    """The part reaches over the root of the budget, and the box is in it."""
    part = crop_to_juice(picture(256, 256), box, keep)
    rows, columns = part[:, 0, 0].astype(int), part[0, :, 1].astype(int)
    seen = (np.ptp(rows) + 1) * (np.ptp(columns) + 1) / 256**2
    assert seen == pytest.approx(keep**0.5, rel=0.06)
    assert rows.min() <= 256 * box[1] + 2
    assert rows.max() >= 256 * box[3] - 6
    assert columns.min() <= 256 * box[0] + 2
    assert columns.max() >= 256 * box[2] - 6


def test_all_of_a_picture_stays_whole() -> None:
    whole = picture(60, 90)
    assert (crop_to_juice(whole, (0.4, 0.4, 0.6, 0.6), 1) == whole).all()


@pytest.mark.parametrize("keep", [0.1, 0.3, 0.5, 0.9])
def test_no_more_than_a_share_of_the_pixels_is_kept(keep: float) -> None:
    whole = picture(240, 320)
    part = crop_to_juice(whole, (0.0, 0.0, 1.0, 1.0), keep)
    assert 0.9 * keep < part.shape[0] * part.shape[1] / (240 * 320) <= keep


def test_a_small_box_and_a_small_picture_leave_something_to_see() -> None:
    assert crop_to_juice(picture(300, 300), (0.5, 0.5, 0.5, 0.5), 1e-4).shape == (32, 32, 3)
    assert crop_to_juice(picture(300, 300), (1.0, 1.0, 1.0, 1.0), 0.5).shape[0] >= 1
    assert min(crop_to_juice(picture(9, 9), (0.0, 0.0, 0.1, 0.1), 0.01).shape[:2]) >= 5


def test_which_samples_stay() -> None:
    samples = [Sample(image=str(at), agreement=at / 10) for at in (3, 1, 4, 2)]
    assert chosen(samples, Way.JUICE, 0.5) == [True] * 4
    assert chosen(samples, Way.SIEVE, 0.5) == [True, False, True, False]
    assert chosen(samples, Way.SIEVE, 0.01) == [False, False, True, False]
    drawn = chosen(samples, Way.RANDOM, 0.5, seed=1)
    assert sum(drawn) == 2
    assert drawn == chosen(samples, Way.RANDOM, 0.5, seed=1)


def test_a_picture_agrees_with_the_names_of_its_classes() -> None:
    class Named(ColourEncoder):
        def encode_items(self, pictures, texts, categories=None):  # type: ignore[no-untyped-def]
            axis = {"dog": 0, "a dog": 0, "mug": 1}
            rows = [np.eye(4, dtype=np.float32)[[axis[text]]] for text in texts]
            return [Encoded(row[0], Juice(text_matrix=PackedMatrix.pack(row))) for row in rows]

    agreement = measure_agreement(Named())

    def shown(*classes: tuple[str, float]) -> Encoded:
        sentence = PackedMatrix.pack(np.eye(4, dtype=np.float32)[[0]])
        return Encoded(np.zeros(4, np.float32), Juice(classes=classes, text_matrix=sentence))

    assert agreement(shown(("dog", 0.9)), "a dog") == pytest.approx(1)
    assert agreement(shown(("mug", 0.9)), "a dog") == pytest.approx(0)
    assert 0 < agreement(shown(("mug", 0.6), ("dog", 0.3)), "a dog") < 0.7
    assert agreement(shown(), "a dog") == 0
    assert agreement(shown(("dog", 0.9)), " ") == 0
