"""Without a fit: retrieval's order, and probabilities that no encoder's cosines decide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.embedding.protocol import Encoded
from models.juicer.juice import Juice
from models.reranking.protocol import Candidate, ListReranker, Ranked
from models.reranking.similarity import SimilarityReranker, background, ratios

QUERY = Encoded(np.zeros(4, np.float32), Juice())


def rerank(*similarities: float) -> list[Ranked]:
    reranker: ListReranker = SimilarityReranker("a note")
    assert reranker.note == "a note"
    candidates = [Candidate(f"{at}", one, Juice()) for at, one in enumerate(similarities)]
    return reranker.rerank(QUERY, None, candidates)


@given(st.lists(st.floats(-1, 1, width=32), max_size=120).map(lambda s: sorted(s, reverse=True)))
def test_any_list_keeps_its_order_and_gets_probabilities(similarities: list[float]) -> None:
    ranked = rerank(*similarities)
    assert [one.index for one in ranked] == list(range(len(similarities)))
    for one in ranked:
        assert sum(one.probabilities) == pytest.approx(1)
        assert one.score == one.probabilities[0]
        assert one.level == int(np.argmax(one.probabilities))
    scores = [one.score for one in ranked]
    assert scores == sorted(scores, reverse=True) or len(set(similarities)) < len(similarities)


def test_one_that_stands_out_is_the_product_and_one_among_equals_is_not() -> None:
    clear, equal = rerank(0.9, *[0.3] * 20), rerank(0.52, *[0.5] * 20)
    assert clear[0].level == 0
    assert clear[0].score > 0.9
    assert all(one.score < 0.05 for one in clear[1:])
    assert equal[0].score < 0.2
    assert clear[0].comparison > clear[0].null == pytest.approx(0.3)


@given(st.floats(0.1, 1))
def test_the_scale_of_an_encoders_distances_does_not_matter(scale: float) -> None:
    similarities = np.linspace(0.9, 0.2, 20)
    squeezed = 1 - scale * (1 - similarities)
    first, other = rerank(*similarities)[0], rerank(*squeezed)[0]
    assert other.score == pytest.approx(first.score, abs=1e-3)


def test_a_list_of_one_is_compared_with_what_is_unrelated() -> None:
    assert background(np.array([0.8], np.float32)) == 0
    assert rerank(0.95)[0].score > rerank(0.2)[0].score
    assert np.isfinite(ratios(np.array([1.0, 1.0, 1.0], np.float32))).all()
    assert rerank() == []
