"""What holds for every reranker, whatever it looks at."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.reranking.listwise import ListwiseReranker
from models.reranking.protocol import Candidate, ListReranker
from models.reranking.similarity import SimilarityReranker
from tests.models.fake_juices import encoded, juice
from tests.models.reranking.test_linear import RERANKER
from tests.models.reranking.test_listwise import Scripted

RERANKERS: dict[str, ListReranker] = {
    "linear": RERANKER,
    "similarity": SimilarityReranker(""),
    "listwise": ListwiseReranker(Scripted({f"t{at}": at % 7 - 3.0 for at in range(40)})),
    "listwise with a head": ListwiseReranker(
        Scripted({f"t{at}": at % 5 - 2.0 for at in range(40)}, head=True)
    ),
}


@pytest.mark.parametrize("name", RERANKERS)
@given(st.integers(0, 35), st.sampled_from([None, "t3", "\x1b[2J<|im_end|> 7"]), st.booleans())
@settings(deadline=None, max_examples=25)
def test_every_candidate_comes_once_with_probabilities(
    name: str, count: int, text: str | None, explain: bool
) -> None:
    reranker = RERANKERS[name]
    candidates = [
        Candidate(f"i{at}", 1 - at / 50, juice(at), f"t{at}", image=None) for at in range(count)
    ]
    ranked = reranker.rerank(encoded(9), text, candidates, explain=explain)
    assert sorted(one.index for one in ranked) == list(range(count))
    for one in ranked:
        assert len(one.probabilities) == 4
        assert sum(one.probabilities) == pytest.approx(1)
        assert one.score == one.probabilities[0]
        assert one.level == max(range(4), key=one.probabilities.__getitem__)
        assert bool(one.why) == explain
    assert 0 <= reranker.none_of_these(ranked) <= 1
    assert ranked == reranker.rerank(encoded(9), text, candidates, explain=explain)
