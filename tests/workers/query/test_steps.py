"""Answering queries: encode, probe, rerank, and rejections that say why."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import orjson
import pytest

from models.arrays import Floats
from models.embedding.layout import AS_COMPOSED, PartWeights
from models.embedding.protocol import Encoded
from models.images.letterbox import Picture
from models.juicer.objects import FoundObject
from models.reranking.catalog_shift import CatalogShift
from models.reranking.linear import load_reranker
from models.text import minilm
from models.text.vocabulary import Vocabulary
from stream.codec import encode
from stream.delivery import Delivery
from stream.messages import Query, Result
from stream.records import Record
from tests.doubles.colours import ColourEncoder, data_uri, picture_uri, pixels
from workers.catalog_index import CatalogIndex
from workers.config.sections import IntakeSettings, QuerySettings
from workers.config.settings import Settings
from workers.evidence.calibrated import CalibratedFile, Calibration
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher
from workers.query.prepared import RejectedQuery
from workers.query.result import impression
from workers.query.steps import QueryPipeline


def record(value: bytes | None, offset: int = 0) -> Record:
    return Record(
        topic="t",
        partition=0,
        offset=offset,
        key=b"k",
        value=value,
        timestamp_ms=1_700_000_000_000 + offset,
    )


def ask(query_id: str = "q", *, image: str | None = None, text: str | None = None) -> Record:
    return record(encode(Query(query_id=query_id, image=image, text=text, top=2)))


@pytest.fixture
async def pipeline(tmp_path: Path) -> AsyncIterator[QueryPipeline]:
    """A query worker over an index of three products, the red one with two pictures."""
    encoder = ColourEncoder()
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"}}
    )
    index = CatalogIndex(settings, encoder.model_id)
    products: list[dict[str, object]] = [
        {
            "product_id": "red",
            "title": "apple",
            "images": [picture_uri("red"), picture_uri("tomato")],
        },
        {"product_id": "green", "title": "leaf", "image": picture_uri("lime"), "price": 2.0},
        {"product_id": "blue", "title": "sky", "image": picture_uri("blue")},
    ]
    async with open_fetcher(IntakeSettings()) as fetcher:
        ingest = Ingest(fetcher, encoder, index)

        async def no_letter(*_: object) -> None:
            pytest.fail("nothing here is rejected")

        await Delivery(ingest.prepare, ingest.write, no_letter).deliver(
            [record(orjson.dumps({"type": "upsert", **p}), n) for n, p in enumerate(products)]
        )
        yield QueryPipeline(fetcher, encoder, load_reranker(), index, QuerySettings(retry_s=0.1))
    index.close()


async def test_a_photo_finds_its_product(pipeline: QueryPipeline) -> None:
    [result] = await pipeline.answer([ask(image=picture_uri("green"))])
    assert isinstance(result, Result)
    best = result.items[0]
    assert (best.product_id, best.item_id, best.price) == ("green", "green#0", 2.0)
    assert len(result.items) == 2
    assert result.retrieved[0] == "green"
    assert result.model_id == "colour-8"
    assert result.bank_version
    assert all(0 <= item.score <= 1 for item in result.items)


async def test_a_catalog_corrects_what_photos_score_and_not_what_words_do(
    pipeline: QueryPipeline, tmp_path: Path
) -> None:
    file = CalibratedFile(Settings(data_dir=tmp_path), "colour-8")
    version, shift = load_reranker().version, CatalogShift(instance=-1.0, none=1.0)
    file.write(Calibration(model_id="colour-8", reranker=version, weights_version="w", shift=shift))
    corrected = QueryPipeline(
        pipeline._fetcher,
        ColourEncoder(),
        load_reranker(),
        pipeline._index,
        QuerySettings(),
        calibrated=file,
    )

    async def answers(asked: Record) -> list[Result]:
        found = [(await one.answer([asked]))[0] for one in (pipeline, corrected)]
        return [one for one in found if isinstance(one, Result)]

    before, after = await answers(ask(image=picture_uri("teal")))
    assert [item.product_id for item in after.items] == [item.product_id for item in before.items]
    assert after.items[0].probability < before.items[0].probability
    assert (after.no_match_probability or 0) > (before.no_match_probability or 1)
    before, after = await answers(ask(text="leaf"))
    assert after.items == before.items
    assert after.no_match_probability == before.no_match_probability


async def test_a_product_with_two_pictures_comes_once(pipeline: QueryPipeline) -> None:
    [result] = await pipeline.answer([ask(image=picture_uri("tomato"))])
    assert isinstance(result, Result)
    assert result.retrieved.count("red") == 1
    assert result.items[0].item_id == "red#1"


async def test_objects_of_a_scene_are_answered_beside_it_and_each_query_keeps_its_own(
    pipeline: QueryPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
    found = tuple(FoundObject(box, 0.9) for box in halves)
    monkeypatch.setattr(ColourEncoder, "find_objects", lambda *_: found)
    scene = data_uri(np.concatenate([pixels("red"), pixels("blue")], axis=1))
    query = Query(query_id="scene", schema=2, image=scene, objects="auto", top=1)
    before, answer, after = await pipeline.answer(
        [
            ask("before", image=picture_uri("lime")),
            record(encode(query)),
            ask("after", image=picture_uri("blue")),
        ]
    )
    assert isinstance(answer, Result)
    assert [one.box for one in answer.groups] == list(halves)
    assert [one.items[0].product_id for one in answer.groups] == ["red", "blue"]
    assert len(answer.items) == 1
    for one, product in ((before, "green"), (after, "blue")):
        assert isinstance(one, Result)
        assert (one.items[0].product_id, one.groups) == (product, ())


async def test_a_batch_keeps_its_order_and_its_bad_queries_apart(pipeline: QueryPipeline) -> None:
    outcomes = await pipeline.answer(
        [
            ask("first", image=picture_uri("blue")),
            record(b"no query"),
            ask("third", image="data:image/png;base64,AAAA"),
            ask("last", text="leaf"),
        ]
    )
    assert [getattr(outcome, "query_id", None) for outcome in outcomes] == [
        "first",
        None,
        "third",
        "last",
    ]
    rejected = [outcome for outcome in outcomes if isinstance(outcome, RejectedQuery)]
    assert [one.rejection.error_class for one in rejected] == ["DecodeError", "PictureRefused"]


async def test_queries_are_encoded_with_the_part_weights_of_the_live_catalog(
    pipeline: QueryPipeline,
) -> None:
    class Recording(ColourEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.asked_with: list[PartWeights] = []

        def part_weights(self, items: Floats) -> PartWeights:
            return PartWeights(identity=len(items) / 8)

        def encode_queries(
            self,
            pictures: Sequence[Picture | Encoded | None],
            texts: Sequence[str | None],
            weights: PartWeights = AS_COMPOSED,
        ) -> list[Encoded]:
            self.asked_with.append(weights)
            return super().encode_queries(pictures, texts, weights)

    encoder = Recording()
    pipeline = QueryPipeline(
        pipeline._fetcher, encoder, load_reranker(), pipeline._index, QuerySettings()
    )
    await pipeline.answer([ask(text="leaf"), ask(text="sky")])
    assert encoder.asked_with == [PartWeights(identity=0.5)] * 2


async def test_words_are_repaired_and_the_result_says_so(
    pipeline: QueryPipeline,
) -> None:
    encoder, known = ColourEncoder(), frozenset({"leaves"})
    settings = pipeline._index._settings
    index = CatalogIndex(
        settings, encoder.model_id, lambda: Vocabulary(minilm.normalise, known.__contains__)
    )
    repairing = QueryPipeline(
        pipeline._fetcher, encoder, load_reranker(), index, QuerySettings(retry_s=0.1)
    )
    asked = [
        Query(schema=2, query_id="typo", text="aplpe"),
        Query(schema=2, query_id="right", text="apple"),
        Query(schema=2, query_id="as typed", text="aplpe", repair=False),
        Query(schema=1, query_id="schema 1", text="aplpe"),
        Query(schema=2, query_id="picture", image=picture_uri("red")),
    ]
    results = await repairing.answer([record(encode(one)) for one in asked])
    index.close()
    of = {one.query_id: one for one in results if isinstance(one, Result)}
    assert {one: result.searched_for for one, result in of.items()} == {
        "typo": "apple",
        "right": None,
        "as typed": None,
        "schema 1": None,
        "picture": None,
    }
    found = {name: [one.product_id for one in of[name].items] for name in of}
    assert found["typo"] == found["right"]


async def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path})
    encoder = ColourEncoder()
    index = CatalogIndex(settings, encoder.model_id)
    async with open_fetcher(IntakeSettings()) as fetcher:
        pipeline = QueryPipeline(fetcher, encoder, load_reranker(), index, QuerySettings())
        assert not pipeline.warm()
        [result] = await pipeline.answer([ask(text="anything")])
    assert isinstance(result, Result)
    assert (result.items, result.error) == ((), None)


async def test_a_store_that_does_not_answer_is_said(
    tmp_path: Path, pipeline: QueryPipeline
) -> None:
    """The bank is there, its Milvus is not."""
    encoder = ColourEncoder()
    gone = Settings.model_validate(
        {"data_dir": tmp_path, "milvus": {"uri": "http://127.0.0.1:9", "kind": "lite"}}
    )
    index = CatalogIndex(gone, encoder.model_id)
    async with open_fetcher(IntakeSettings()) as fetcher:
        lost = QueryPipeline(fetcher, encoder, load_reranker(), index, QuerySettings(retry_s=0.1))
        assert pipeline.warm()
        assert not lost.warm()
        [outcome] = await lost.answer([ask(text="leaf")])
    assert isinstance(outcome, RejectedQuery)
    assert "search is unavailable" in outcome.rejection.reason


async def test_the_impression_shows_what_was_answered(pipeline: QueryPipeline) -> None:
    [result] = await pipeline.answer([ask(image=picture_uri("red"))])
    assert isinstance(result, Result)
    shown = impression(result, now_ms=5)
    assert [(s.product_id, s.position) for s in shown.items] == [
        (item.product_id, item.position) for item in result.items
    ]
    assert (shown.query_id, shown.event_time, shown.model_id) == ("q", 5, result.model_id)
