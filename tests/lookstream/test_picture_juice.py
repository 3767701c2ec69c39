"""One picture's juice in a call."""

from __future__ import annotations

import numpy as np
import pytest

import lookstream
from tests.paths import EXAMPLE


@pytest.mark.slow
def test_the_juice_of_a_picture() -> None:
    made = lookstream.juice(EXAMPLE / "photos/Banana_017.webp", "Bananas")
    assert made.heat.shape == (9, 9)
    assert 0 <= made.heat.min() < 0.1 < made.heat.max() <= 1
    assert all(made.heat[patch] > 0 for patch in made.kept)
    assert made.tokens.shape[0] == len(made.kept) + 1
    assert np.linalg.norm(made.tokens, axis=1) == pytest.approx(1, abs=1e-5)
    left, top, right, bottom = made.box
    assert 0 <= left < right <= 1
    assert 0 <= top < bottom <= 1
    assert made.classes[0][0] == "banana"
    assert made.caption.startswith("Bananas")
    assert made.model_id
