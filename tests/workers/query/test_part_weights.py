"""How far the live catalog can be recognised, while it grows and is re-keyed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from index.errors import MilvusUnavailable
from models.arrays import Floats
from models.embedding.identity_library import SAMPLE
from models.embedding.layout import PartWeights
from models.embedding.part_weights import Weighed
from models.embedding.words_to_pictures import WordsToPictures
from tests.doubles.colours import ColourEncoder
from workers.catalog_index import CatalogIndex
from workers.config.settings import Settings
from workers.evidence.fitted import FittedFile, FittedWeights
from workers.query.part_weights import OLDEST_S, REFRESH_S, CatalogPartWeights


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
def begun() -> list[Callable[[], None]]:
    """What was begun beside the queries and has not run yet."""
    return []


@pytest.fixture
def weights(index: FakeIndex, begun: list[Callable[[], None]]) -> CatalogPartWeights:
    return CatalogPartWeights(
        Counting(), cast(CatalogIndex, index), clock=index.clock, beside=begun.append
    )


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


def test_a_small_catalog_is_looked_at_again_and_no_query_waits_for_it(
    index: FakeIndex, weights: CatalogPartWeights, begun: list[Callable[[], None]]
) -> None:
    index.items, index.bank = SAMPLE // 10, "first"
    assert weights.now().identity == pytest.approx(0.1)
    index.items = SAMPLE // 5
    assert weights.now().identity == pytest.approx(0.1)
    index.time = REFRESH_S
    assert weights.now().identity == weights.now().identity == pytest.approx(0.1)
    assert index.sampled == 1
    [refresh] = begun
    refresh()
    assert weights.now().identity == pytest.approx(0.2)
    assert (index.sampled, len(begun)) == (2, 1)


def test_after_a_pause_the_first_query_waits_for_what_is_there_now(
    index: FakeIndex, weights: CatalogPartWeights, begun: list[Callable[[], None]]
) -> None:
    index.items, index.bank = SAMPLE // 10, "first"
    weights.now()
    index.items, index.time = SAMPLE // 5, OLDEST_S
    assert weights.now().identity == pytest.approx(0.2)
    assert begun == []


def test_a_refresh_that_fails_is_tried_again(
    index: FakeIndex,
    weights: CatalogPartWeights,
    begun: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index.items, index.bank = SAMPLE // 10, "first"
    weights.now()
    index.time = REFRESH_S

    def fail(limit: int) -> Floats:
        raise MilvusUnavailable("it is down")

    monkeypatch.setattr(index, "sample", fail)
    weights.now()
    begun.pop()()
    assert weights.now().identity == pytest.approx(0.1)
    assert len(begun) == 1
    index.time = OLDEST_S
    with pytest.raises(MilvusUnavailable):
        weights.now()


def test_a_catalogs_own_weights_are_followed_without_a_restart(
    index: FakeIndex, tmp_path: Path
) -> None:
    encoder, settings = Counting(), Settings(data_dir=tmp_path)
    file = FittedFile(settings, encoder.model_id)
    weights = CatalogPartWeights(encoder, cast(CatalogIndex, index), file, clock=index.clock)
    index.items, index.bank = SAMPLE, "first"
    prior = weights.now()
    assert prior.identity == 1

    FittedFile(settings, "other").write(fitted("other", colour=0.5))
    assert weights.now() == prior, "of another model"
    for colour in (0.5, 0.7):
        writer = FittedFile(settings, encoder.model_id)
        writer.write(fitted(encoder.model_id, colour=colour))
        assert weights.now() == PartWeights(0.25, 0.5, colour)
    assert index.sampled == 1, "the index is asked only for the prior"
    file.path.unlink()
    assert weights.now() == prior


def fitted(model_id: str, colour: float) -> FittedWeights:
    weighed = Weighed(PartWeights(0.25, 0.5, colour), items=60, views=60)
    return FittedWeights.of(weighed, model_id, of_items=60)


class Reading(Counting):
    """Its words are compared with pictures, by what a sample says."""

    reads_words = True

    def part_weights(self, items: Floats) -> PartWeights:
        weight = float(len(items))
        return replace(super().part_weights(items), words=WordsToPictures(weight=weight))


def test_how_words_count_comes_from_a_sample_beside_the_catalogs_own_weights(
    tmp_path: Path, index: FakeIndex
) -> None:
    fitted = FittedFile(Settings(data_dir=tmp_path), "colour-8")
    weighed = Weighed(PartWeights(0.2, 0.3, 0.5), 60, 240, 0.8, 0.5, 0.6, 0.5)
    fitted.write(FittedWeights.of(weighed, "colour-8", of_items=60))
    index.items, index.bank = 100, "first"
    for encoder, read in ((Reading(), True), (Counting(), False)):
        index.sampled = 0
        weights = CatalogPartWeights(
            encoder, cast(CatalogIndex, index), fitted, clock=index.clock, beside=lambda _work: None
        )
        found = weights.now()
        assert (found.identity, found.appearance, found.colour) == (0.2, 0.3, 0.5)
        assert index.sampled == read
        assert (found.words.weight if found.words else None) == (100.0 if read else None)
