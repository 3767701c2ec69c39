"""Patches that show the same are paired, each once."""

from __future__ import annotations

import numpy as np
import pytest

from models.arrays import Floats
from models.juicer.juice import Juice
from models.juicer.packed_matrix import PackedMatrix
from models.reranking.matched_patches import matched_patches


def juice(*tokens: list[float], kept: tuple[int, ...]) -> Juice:
    """The tokens of kept patches; the remainder's, which resembles everything, is added."""
    rows: Floats = np.array([*tokens, [1.0] * len(tokens[0])], np.float32)
    return Juice(grid=(8, 8), kept=kept, token_matrix=PackedMatrix.pack(rows))


def test_the_most_alike_come_first_and_each_is_used_once() -> None:
    query = juice([1, 0, 0], [0, 1, 0], [0.9, 0.1, 0], kept=(10, 20, 30))
    item = juice([0, 0.8, 0.6], [1, 0, 0], kept=(5, 6))
    first, second = matched_patches(query, item)
    assert (first.query, first.item) == (10, 6)
    assert first.cosine == pytest.approx(1, abs=0.01)
    assert (second.query, second.item) == (20, 5)
    assert second.cosine == pytest.approx(0.8, abs=0.01)
    assert matched_patches(query, item, most=1) == (first,)


def test_without_pictures_nothing_is_alike() -> None:
    one = juice([1.0, 0.0], kept=(1,))
    assert matched_patches(Juice(), one) == ()
    assert matched_patches(one, Juice()) == ()
    assert matched_patches(one, juice([1.0, 0.0, 0.0], kept=(1,))) == ()
