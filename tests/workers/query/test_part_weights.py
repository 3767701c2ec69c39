"""How far the live catalog can be recognised, while it grows and is re-keyed."""

from typing import cast

import numpy as np
import pytest

from models.arrays import Floats
from models.embedding.identity_library import SAMPLE
from models.embedding.layout import PartWeights
from tests.doubles.colours import ColourEncoder
from workers.catalog_index import CatalogIndex
from workers.query.part_weights import REFRESH_S, CatalogPartWeights


class FakeIndex:
    """An index of so many items under one bank, and the time."""

    def __init__(self) -> None:
        self.items, self.bank, self.sampled, self.time = 0, "", 0, 0.0

    def bank_version(self) -> str:
        return self.bank

    def sample(self, limit: int) -> Floats:
        self.sampled += 1
        return np.ones((min(self.items, limit), 2), np.float32)

    def clock(self) -> float:
        return self.time


class Counting(ColourEncoder):
    """Knows a catalog by how large it is."""

    def part_weights(self, items: Floats) -> PartWeights:
        return PartWeights(identity=len(items) / SAMPLE)


@pytest.fixture
def index() -> FakeIndex:
    return FakeIndex()


@pytest.fixture
def weights(index: FakeIndex) -> CatalogPartWeights:
    return CatalogPartWeights(Counting(), cast(CatalogIndex, index), index.clock)


def test_nothing_is_known_before_there_is_a_catalog(
    index: FakeIndex, weights: CatalogPartWeights
) -> None:
    assert weights.now().identity == 0
    index.items, index.bank = SAMPLE, "first"
    assert weights.now().identity == 1


def test_a_large_catalog_is_looked_at_once_for_each_bank(
    index: FakeIndex, weights: CatalogPartWeights
) -> None:
    index.items, index.bank = 10 * SAMPLE, "first"
    for index.time in (0.0, REFRESH_S, 1e6):
        weights.now()
    assert index.sampled == 1
    index.bank = "second"
    weights.now()
    assert index.sampled == 2


def test_a_small_catalog_is_looked_at_again_as_it_grows(
    index: FakeIndex, weights: CatalogPartWeights
) -> None:
    index.items, index.bank = SAMPLE // 10, "first"
    assert weights.now().identity == pytest.approx(0.1)
    index.items = SAMPLE // 5
    assert weights.now().identity == pytest.approx(0.1)
    index.time = REFRESH_S
    assert weights.now().identity == pytest.approx(0.2)
    assert index.sampled == 2
