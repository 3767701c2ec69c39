"""Queries by a reranker that looks at pictures: what it is shown, and what happens without it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import orjson
import pytest

from models.errors import RerankerError, RerankerLate
from models.images.letterbox import Picture
from models.reranking.linear import load_reranker
from models.reranking.listwise import Compared, Comparer, ListwiseReranker
from models.reranking.listwise_prompt import Question
from stream.codec import encode
from stream.delivery import Delivery
from stream.messages import Query, Result
from stream.records import Record
from tests.doubles.colours import ColourEncoder, pixels
from workers.catalog_index import CatalogIndex
from workers.config.sections import IntakeSettings, QuerySettings
from workers.config.settings import Settings
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher
from workers.query.candidate_pictures import CandidatePictures
from workers.query.compose import WeighedPicture
from workers.query.picture_reranker import FAILED, LATE, RerankersOf, main_picture
from workers.query.steps import QueryPipeline


class Eye(Comparer):
    """Prefers documents that look most unlike the query, so that it turns retrieval's order.

    `fails` is raised from the chunk of that number on.
    """

    note = "an eye"

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.fails: Exception | None = None
        self.after = 0

    def compare(self, questions: Sequence[Question], until: float) -> list[Compared]:
        if self.fails is not None and len(self.asked) >= self.after:
            raise self.fails
        self.asked += questions
        return [
            Compared(np.array([_unlike(one.picture, other) for other in one.pictures]), 0.0)
            for one in questions
        ]

    def check(self) -> str:
        return "an eye"


def _unlike(one: Picture | None, other: Picture | None) -> float:
    if one is None or other is None:
        return -1.0
    return float(np.abs(one.mean((0, 1)) - other.mean((0, 1))).sum()) / 100


def record(value: bytes, offset: int = 0) -> Record:
    return Record(
        topic="t", partition=0, offset=offset, key=b"k", value=value, timestamp_ms=T0 + offset
    )


T0 = 1_700_000_000_000
COLOURS = {"red": (250, 0, 0), "green": (0, 250, 0), "blue": (0, 0, 250)}


@pytest.fixture
def eye() -> Eye:
    return Eye()


@pytest.fixture
async def pipeline(tmp_path: Path, eye: Eye) -> AsyncIterator[QueryPipeline]:
    """Three products with pictures in files; the picture of a fourth is gone."""
    from PIL import Image

    for name, colour in {**COLOURS, "gone": (250, 250, 0)}.items():
        Image.new("RGB", (64, 48), colour).save(tmp_path / f"{name}.png")
    encoder = ColourEncoder()
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"}}
    )
    index = CatalogIndex(settings, encoder.model_id)
    async with open_fetcher(IntakeSettings(roots=(tmp_path,), decoders=1)) as fetcher:
        ingest = Ingest(fetcher, encoder, index)

        async def no_letter(*_: object) -> None:
            pytest.fail("nothing here is rejected")

        events = [
            {"product_id": name, "title": name, "image": str(tmp_path / f"{name}.png")}
            for name in (*COLOURS, "gone")
        ]
        await Delivery(ingest.prepare, ingest.write, no_letter).deliver(
            [record(orjson.dumps({"type": "upsert", **one}), n) for n, one in enumerate(events)]
        )
        (tmp_path / "gone.png").unlink()
        pictures = CandidatePictures(fetcher, 10_000_000)
        yield QueryPipeline(
            fetcher,
            encoder,
            ListwiseReranker(eye),
            index,
            QuerySettings(retry_s=0.1, rerank_s=60),
            pictures=pictures,
        )
    index.close()


async def answer(pipeline: QueryPipeline, **asked: object) -> Result:
    query = Query(query_id="q", top=4, **asked)  # type: ignore[arg-type]
    [result] = await pipeline.answer([record(encode(query))])
    assert isinstance(result, Result)
    return result


async def test_it_is_shown_the_pictures_and_says_which_it_lacked(
    pipeline: QueryPipeline, eye: Eye, tmp_path: Path
) -> None:
    result = await answer(pipeline, image=str(tmp_path / "red.png"), text="a thing", explain=True)
    assert result.not_reranked is None
    assert {one.product_id for one in result.items if one.by_words} == {"gone"}
    assert result.items[-1].product_id == "gone"  # -1 is the least of its answers
    assert result.retrieved[0] == "red"
    assert result.items[-2].product_id == "red"
    assert [one.feature for one in result.items[0].why] == ["above_null"]
    (question,) = eye.asked
    assert question.text == "a thing"
    assert question.picture is not None
    assert question.picture[0, 0].tolist() == list(COLOURS["red"])
    assert question.texts[0] == "red"


async def test_a_product_that_is_liked_stands_for_the_query(
    pipeline: QueryPipeline, eye: Eye
) -> None:
    result = await answer(pipeline, like=("blue",))
    assert result.not_reranked is None
    assert "blue" not in eye.asked[0].texts
    assert eye.asked[0].picture is not None
    assert eye.asked[0].picture[0, 0].tolist() == list(COLOURS["blue"])
    gone = await answer(pipeline, like=("gone",))
    assert gone.not_reranked == FAILED
    assert len(gone.items) == 3
    worded = await answer(pipeline, like=("gone",), text="red")
    assert worded.not_reranked is None


@pytest.mark.parametrize(
    ("fails", "said"), [(RerankerLate("slow"), LATE), (RerankerError("10.1.2.3 is away"), FAILED)]
)
async def test_without_an_answer_retrievals_order_stands_and_the_result_says_so(
    pipeline: QueryPipeline, eye: Eye, tmp_path: Path, fails: Exception, said: str
) -> None:
    eye.fails = fails
    result = await answer(pipeline, image=str(tmp_path / "red.png"))
    assert result.not_reranked == said
    assert "10.1.2.3" not in result.not_reranked
    assert tuple(one.product_id for one in result.items) == result.retrieved
    assert not any(one.by_words for one in result.items)
    assert result.no_match_probability is not None
    assert b"not_reranked" in encode(result)


async def test_without_time_left_nothing_is_fetched_or_asked(
    pipeline: QueryPipeline, eye: Eye, tmp_path: Path
) -> None:
    gone_by = QuerySettings(retry_s=0.1, rerank_s=1e-9)
    pipeline._settings = gone_by
    result = await answer(pipeline, image=str(tmp_path / "red.png"))
    assert result.not_reranked == LATE
    assert not eye.asked
    assert pipeline._pictures is not None
    assert not pipeline._pictures._kept


async def test_lists_of_one_query_share_its_time(pipeline: QueryPipeline, eye: Eye) -> None:
    rerankers = RerankersOf(ListwiseReranker(eye), pipeline._pictures)
    assert rerankers.not_reranked is None
    one, other = rerankers(None), rerankers(None)
    assert one is not other
    linear = load_reranker()
    assert RerankersOf(linear, None)(None) is linear
    with pytest.raises(RerankerError, match="is shown none here"):
        RerankersOf(ListwiseReranker(eye), None)(None)


async def test_a_later_block_that_fails_leaves_the_first_as_it_is(
    pipeline: QueryPipeline, eye: Eye
) -> None:
    from models.embedding.protocol import Encoded
    from models.juicer.juice import Juice
    from models.reranking.protocol import Candidate

    rerankers = RerankersOf(ListwiseReranker(eye), pipeline._pictures)
    reranker = rerankers(pixels("red"))
    query = Encoded(np.ones(1, np.float32), Juice())
    block = [Candidate(f"i{at}", 1 - at / 10, Juice(), "t") for at in range(3)]
    first = await asyncio.to_thread(reranker.rerank, query, "t", block)
    eye.fails, eye.after = RerankerLate("slow"), 1
    second = await asyncio.to_thread(reranker.rerank, query, "t", block)
    eye.fails = None
    third = await asyncio.to_thread(reranker.rerank, query, "t", block)
    assert [one.comparison for one in first] == [-1.0] * 3
    assert [one.comparison for one in second] == pytest.approx([1.0, 0.9, 0.8])
    assert third == second  # its time is over
    assert rerankers.not_reranked == LATE
    assert reranker.none_of_these(first) == pytest.approx(1 / (1 + math.exp(-1)))


def test_of_several_pictures_the_heaviest_is_shown() -> None:
    light, heavy, unwanted = (
        WeighedPicture(np.full((8, 8, 3), grey, np.uint8), weight)
        for grey, weight in ((1, 0.3), (2, 0.9), (3, -1.0))
    )
    assert main_picture([light, heavy, unwanted]) is heavy.picture
    assert main_picture([unwanted]) is None
    assert main_picture([]) is None
