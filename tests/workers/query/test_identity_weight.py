"""How far the live catalog can be recognised, while it grows and is re-keyed."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from models.arrays import Floats
from models.embedding.identity_library import SAMPLE
from models.embedding.protocol import Encoded
from models.juicer.juice import Juice
from tests.workers.fakes import ColourEncoder
from workers.catalog_index import CatalogIndex
from workers.query.identity_weight import AGAIN_EVERY_S, IdentityWeight


class Shelf:
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

    def identity_weight(self, items: Floats) -> float:
        return len(items) / SAMPLE

    def weigh_identity(self, query: Encoded, identity_weight: float) -> Encoded:
        return replace(query, vector=query.vector * np.float32(identity_weight))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def identity_weight(shelf: Shelf) -> IdentityWeight:
    return IdentityWeight(Counting(), cast(CatalogIndex, shelf), shelf.clock)


def test_nothing_is_known_before_there_is_a_catalog(
    shelf: Shelf, identity_weight: IdentityWeight
) -> None:
    assert identity_weight.now() == 0
    shelf.items, shelf.bank = SAMPLE, "first"
    assert identity_weight.now() == 1
    query = Encoded(np.array([1, 0], np.float32), Juice())
    assert identity_weight.weigh_identity(query).vector.tolist() == [1, 0]


def test_a_large_catalog_is_looked_at_once_for_each_bank(
    shelf: Shelf, identity_weight: IdentityWeight
) -> None:
    shelf.items, shelf.bank = 10 * SAMPLE, "first"
    for shelf.time in (0.0, AGAIN_EVERY_S, 1e6):
        identity_weight.now()
    assert shelf.sampled == 1
    shelf.bank = "second"
    identity_weight.now()
    assert shelf.sampled == 2


def test_a_small_catalog_is_looked_at_again_as_it_grows(
    shelf: Shelf, identity_weight: IdentityWeight
) -> None:
    shelf.items, shelf.bank = SAMPLE // 10, "first"
    assert identity_weight.now() == pytest.approx(0.1)
    shelf.items = SAMPLE // 5
    assert identity_weight.now() == pytest.approx(0.1)
    shelf.time = AGAIN_EVERY_S
    assert identity_weight.now() == pytest.approx(0.2)
    assert shelf.sampled == 2
