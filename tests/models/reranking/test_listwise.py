"""From the answers for chunks to a list, whatever answers."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import RerankerError
from models.reranking.chunks import ABSENT, split
from models.reranking.listwise import Compared, Comparer, ListwiseReranker, Shown
from models.reranking.listwise_prompt import Question
from models.reranking.protocol import Candidate, ListReranker
from tests.models.fake_juices import encoded, juice

PICTURE = np.zeros((8, 8, 3), np.uint8)
QUERY = encoded(1)


class Scripted(Comparer):
    """Scores by title; NULL is 0."""

    note = "scripted"

    def __init__(self, scores: dict[str, float], head: bool = False) -> None:
        self.scores = scores
        self.head = head
        self.asked: list[Question] = []
        self.until = 0.0

    def compare(self, questions: Sequence[Question], until: float) -> list[Compared]:
        self.asked, self.until = list(questions), until
        return [self._one(question) for question in questions]

    def check(self) -> str:
        return "scripted"

    def _one(self, question: Question) -> Compared:
        scores = np.array([self.scores.get(title, -1.0) for title in question.texts])
        if not self.head:
            return Compared(scores, 0.0)
        instance = 1 / (1 + np.exp(scores))  # against the comparison, which must win in a chunk
        rest = (1 - instance) / 3
        return Compared(scores, 0.0, np.stack([instance, rest, rest, rest], axis=1))


def candidates(count: int) -> list[Candidate]:
    return [Candidate(f"i{at}", 1 - at / 100, juice(at), f"t{at}") for at in range(count)]


def as_list_reranker(reranker: ListwiseReranker) -> ListReranker:
    return reranker


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=35), st.booleans())
def test_every_candidate_comes_once_and_merging_breaks_no_chunk(
    scores: list[float], head: bool
) -> None:
    by_title = {f"t{at}": score for at, score in enumerate(scores)}
    reranker = as_list_reranker(ListwiseReranker(Scripted(by_title, head)))
    ranked = reranker.rerank(QUERY, "words", candidates(len(scores)))
    assert sorted(one.index for one in ranked) == list(range(len(scores)))
    assert all(sum(one.probabilities) == pytest.approx(1) for one in ranked)
    assert all(one.level == int(np.argmax(one.probabilities)) for one in ranked)
    place = {one.index: at for at, one in enumerate(ranked)}
    for chunk in split(len(scores)):
        members = [int(one) for one in chunk if one != ABSENT]
        best_first = sorted(members, key=lambda one: (-scores[one], one))
        assert [place[one] for one in best_first] == sorted(place[one] for one in members)
    assert 0 <= reranker.none_of_these(ranked) <= 1


def test_without_a_head_a_probability_is_the_share_of_the_answer() -> None:
    reranker = ListwiseReranker(Scripted({"t0": math.log(1), "t1": math.log(2)}))
    ranked = reranker.rerank(QUERY, None, candidates(2))
    assert [one.index for one in ranked] == [1, 0]
    assert [one.score for one in ranked] == pytest.approx([0.5, 0.25])  # NULL has the rest


def test_with_a_head_probabilities_are_the_heads() -> None:
    reranker = ListwiseReranker(Scripted({"t0": 1.0, "t1": 2.0}, head=True))
    ranked = reranker.rerank(QUERY, None, candidates(2))
    assert [one.index for one in ranked] == [1, 0]
    assert ranked[0].score < ranked[1].score


def test_none_is_told_by_null() -> None:
    here, not_here = (ListwiseReranker(Scripted({"t3": score})) for score in (5.0, -0.5))
    probabilities = [
        one.none_of_these(one.rerank(QUERY, None, candidates(15))) for one in (here, not_here)
    ]
    assert probabilities == pytest.approx([1 / (1 + math.exp(5)), 1 / (1 + math.exp(-0.5))])
    assert here.none_of_these([]) == 1.0


def test_pictures_go_to_their_chunks_and_what_has_none_says_so() -> None:
    comparer = Scripted({})
    pictures = [PICTURE + at if at % 2 else None for at in range(12)]
    shown = Shown(PICTURE, pictures, until=7.0)
    ranked = ListwiseReranker(comparer).rerank(QUERY, "shoe", candidates(12), shown=shown)
    assert [len(one.texts) for one in comparer.asked] == [6, 6]
    assert comparer.asked[1].pictures == tuple(pictures[6:])
    assert comparer.asked[1].texts[0] == "t6"
    assert all(one.picture is PICTURE and one.text == "shoe" for one in comparer.asked)
    assert comparer.until == 7.0
    assert {one.index for one in ranked if one.by_words} == {0, 2, 4, 6, 8, 10}
    alone = ListwiseReranker(comparer).rerank(QUERY, "shoe", candidates(2))
    assert all(one.by_words for one in alone)


def test_reasons_come_where_they_are_asked_for() -> None:
    reranker = ListwiseReranker(Scripted({"t0": 2.0}))
    (plain,) = reranker.rerank(QUERY, None, candidates(1))
    (explained,) = reranker.rerank(QUERY, None, candidates(1), explain=True)
    assert not plain.why
    assert [(one.feature, one.contribution) for one in explained.why] == [("above_null", 2.0)]


def test_no_candidates_are_no_list() -> None:
    assert ListwiseReranker(Scripted({})).rerank(QUERY, None, []) == []


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_scores_that_are_no_numbers_order_nothing(score: float) -> None:
    with pytest.raises(RerankerError, match="no numbers"):
        ListwiseReranker(Scripted({"t1": score})).rerank(QUERY, None, candidates(3))
