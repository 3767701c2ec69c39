"""A catalog whose products have several pictures says what its scores are worth."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest

from index.errors import MilvusUnavailable
from index.item import Hit, Item
from models.arrays import Floats
from models.embedding.layout import PartWeights
from models.embedding.protocol import Encoded
from models.reranking.catalog_shift import NO_SHIFT, CatalogShift
from models.reranking.no_match import none_by_probabilities
from models.reranking.protocol import Candidate, Ranked
from models.reranking.similarity import SimilarityReranker
from tests.doubles.parts import PartsEncoder, painted
from workers.config.settings import Settings
from workers.evidence.calibrate import Calibrating, Searching, calibrate
from workers.evidence.calibrated import CalibratedFile, Calibration
from workers.evidence.fitted import FittedFile, FittedWeights
from workers.evidence.sample import PictureSample
from workers.evidence.witnesses import sampled_items
from workers.ingest.items import picture_part

WEIGHTS = PartWeights.with_identity(0.25)


class Sure:
    """Says of every candidate that it is the product, with one probability."""

    note, version = "", "sure"

    def __init__(self, score: float) -> None:
        self._score = score

    def rerank(
        self,
        query: Encoded,
        query_text: str | None,
        candidates: Sequence[Candidate],
        *,
        explain: bool = False,
    ) -> list[Ranked]:
        score = self._score
        levels = (score, 1 - score, 0.0, 0.0)
        return [Ranked(at, score, 0, levels, 0.0, 0.0) for at in range(len(candidates))]

    def none_of_these(self, ranked: Sequence[Ranked]) -> float:
        return none_by_probabilities(ranked[:1])


class Shop:
    """A catalog as an index and a sample have it; `alike` products look like their neighbour."""

    def __init__(self) -> None:
        self.encoder = PartsEncoder("")
        self.sample = PictureSample(None, self.encoder.model_id)
        self.items: dict[str, list[Item]] = {}
        self.searched: list[int] = []
        self.away = False

    def add(self, count: int, pictures_each: int, *, alike: bool = True) -> None:
        for number in range(len(self.items), len(self.items) + count):
            product_id = f"p{number}"
            some = [painted(1000 * number + at * (not alike)) for at in range(pictures_each)]
            digests = [f"{100 * number + at:064x}" for at in range(pictures_each)]
            self.items[product_id] = [
                Item(
                    item_id=f"{product_id}#{at}",
                    product_id=product_id,
                    prototype=0,
                    vector=one.vector,
                    payload={"category": [], "title": product_id, "image": None},
                    digest=f"{digest}-words",
                    juice=one.juice.to_bytes(),
                )
                for at, (one, digest) in enumerate(
                    zip(
                        self.encoder.encode_items(some, [None] * pictures_each),
                        digests,
                        strict=True,
                    )
                )
            ]
            kept = [picture_part(one.digest) for one in self.items[product_id]]
            thumbnails = self.sample.thumbnails(product_id, list(zip(kept, some, strict=True)))
            self.sample.update({product_id: set(kept)}, {product_id: thumbnails})
        self.encoder.encoded = 0

    # What a `CatalogIndex` has.

    def stored(self, product_ids: Sequence[str]) -> list[Item]:
        return [item for one in product_ids for item in self.items.get(one, ())]

    def nearest(self, vectors: Floats, limit: int) -> list[list[Hit]]:
        if self.away:
            raise MilvusUnavailable("away")
        self.searched.append(len(vectors))
        everything = [item for some in self.items.values() for item in some]
        cosines = vectors @ np.stack([cast(Floats, item.vector) for item in everything]).T
        return [
            [Hit(everything[at], float(row[at])) for at in np.argsort(-row)[:limit]]
            for row in cosines
        ]

    def calibration(self, score: float) -> Calibration:
        searching = Searching(self.encoder, Sure(score), WEIGHTS, 20)
        return calibrate(sampled_items(self.sample, self), self, searching)


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.sample.close()


def test_scores_go_up_where_products_are_found_and_down_where_they_are_not(shop: Shop) -> None:
    shop.add(30, 2)
    easy = shop.calibration(0.5)
    assert (easy.pictures, easy.products) == (60, 30)
    assert easy.shift.instance > 1
    assert easy.brier < easy.prior_brier
    assert easy.shift.none == pytest.approx(0, abs=1)
    hard = Shop()
    hard.add(30, 2, alike=False)
    assert hard.calibration(0.5).shift.instance < 0
    hard.sample.close()


def test_a_picture_does_not_find_itself(shop: Shop) -> None:
    shop.add(10, 1)
    shop.add(20, 2, alike=False)
    assert shop.calibration(0.9).shift.instance < -0.5


def test_nothing_is_encoded_but_the_queries_and_few_are_asked_at_a_time(shop: Shop) -> None:
    shop.add(12, 2)
    shop.calibration(0.5)
    assert shop.encoder.looked_at == 24  # when they were indexed
    assert sum(shop.searched) == 24
    assert max(shop.searched) <= 10


def test_without_several_pictures_of_a_product_the_prior_stands(shop: Shop) -> None:
    shop.add(20, 1)
    found = shop.calibration(0.5)
    assert (found.shift, found.pictures) == (NO_SHIFT, 0)
    assert "no product in the sample has several pictures" in found.summary
    assert shop.searched == []


# When, and where it goes.


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def weigh(settings: Settings, version: str) -> None:
    model_id = PartsEncoder.model_id
    FittedFile(settings, model_id).write(
        FittedWeights(
            model_id=model_id,
            version=version,
            of_items=1,
            identity=0.2,
            appearance=0.6,
            colour=0.2,
            text=0.0,
            items=1,
            views=1,
            self_at_1=1.0,
            category_at_1=1.0,
            prior_self_at_1=1.0,
            prior_category_at_1=1.0,
        )
    )


def test_it_is_time_after_each_weighing(shop: Shop, settings: Settings) -> None:
    shop.add(10, 2)
    calibrating = Calibrating(settings, shop.sample, shop, shop.encoder, Sure(0.5))
    file = CalibratedFile(settings, shop.encoder.model_id)
    assert not calibrating.check()
    assert file.read() is None
    for version in ("one", "two"):
        weigh(settings, version)
        assert calibrating.check()
        assert not calibrating.check()
        found = file.read()
        assert found
        assert found.weights_version == version
    again = Calibrating(settings, shop.sample, shop, shop.encoder, Sure(0.5))
    assert not again.check(), "another process has done it"
    other = SimilarityReranker("")
    assert Calibrating(settings, shop.sample, shop, shop.encoder, other).check()


def test_an_index_that_is_away_is_asked_again(shop: Shop, settings: Settings) -> None:
    shop.add(10, 2)
    weigh(settings, "one")
    calibrating = Calibrating(settings, shop.sample, shop, shop.encoder, Sure(0.5))
    shop.away = True
    for _ in range(2):
        with pytest.raises(MilvusUnavailable):
            calibrating.check()
    shop.away = False
    assert calibrating.check()


def test_a_calibration_is_of_one_reranker_and_one_encoder(settings: Settings) -> None:
    file, shift = CalibratedFile(settings, "a-model"), CatalogShift(instance=0.5, none=-0.25)
    found = Calibration(model_id="a-model", reranker="sure", weights_version="w", shift=shift)
    file.write(found)
    assert file.shift_for(Sure(0.5)) == shift
    assert file.shift_for(SimilarityReranker("")) == NO_SHIFT
    file.write(msgspec.structs.replace(found, model_id="another"))
    assert file.shift_for(Sure(0.5)) == NO_SHIFT
    file.path.write_text("{")
    assert file.shift_for(Sure(0.5)) == NO_SHIFT
