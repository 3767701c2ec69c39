from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.embedding.identity_library import MIN_IDENTITY_WEIGHT
from models.embedding.layout import PartWeights
from models.embedding.protocol import Encoded
from models.errors import RerankerError
from models.reranking.calibration import LevelModel
from models.reranking.chunks import split
from models.reranking.comparison import Comparison
from models.reranking.features import FEATURES
from models.reranking.linear import (
    Candidate,
    ModalityParameters,
    ParametersByModality,
    Reranker,
    RerankerParameters,
    load_reranker,
)
from models.training.reranker.linear import write_parameters
from tests.models.fake_juices import encoded, juice

WIDTH = len(FEATURES)


def parameters_for(seed: int) -> ModalityParameters:
    random = np.random.default_rng(seed)
    return ModalityParameters(
        comparison=Comparison(
            mean=(0.0,) * WIDTH, scale=(1.0,) * WIDTH, weights=tuple(random.random(WIDTH).tolist())
        ),
        levels=LevelModel(
            mean=(0.0,) * 2 * WIDTH,
            scale=(1.0,) * 2 * WIDTH,
            weights=tuple(tuple(row) for row in random.standard_normal((4, 2 * WIDTH)).tolist()),
            bias=(0.0,) * 4,
        ),
    )


PARAMETERS = RerankerParameters(
    encoder="none",
    known=ParametersByModality(
        picture=parameters_for(1), text=parameters_for(2), both=parameters_for(3)
    ),
    unknown=ParametersByModality(
        picture=parameters_for(4), text=parameters_for(5), both=parameters_for(6)
    ),
)
RERANKER = Reranker(PARAMETERS)


@st.composite
def candidate_lists(draw: st.DrawFn, longest: int = 24) -> list[Candidate]:
    kinds = draw(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=longest))
    return [
        Candidate(f"item{at}", 1 - at / 50, juice(at, picture=picture, text=text), f"title {at}")
        for at, (picture, text) in enumerate(kinds)
    ]


QUERIES = st.sampled_from(
    [
        (encoded(100), None),
        (encoded(101), "title 3"),
        (encoded(102, picture=False), "title"),
        (encoded(103, text=False), None),
    ]
)


@given(candidate_lists(), QUERIES)
def test_every_candidate_comes_once_with_probabilities(
    candidates: list[Candidate], query: tuple[Encoded, str | None]
) -> None:
    ranked = RERANKER.rerank(*query, candidates)
    assert sorted(one.index for one in ranked) == list(range(len(candidates)))
    for one in ranked:
        assert sum(one.probabilities) == pytest.approx(1.0)
        assert all(0.0 <= p <= 1.0 for p in one.probabilities)
        assert one.score == one.probabilities[0]
        assert one.level == int(np.argmax(one.probabilities))
        assert np.isfinite([one.comparison, one.null]).all()
    places = {one.index: (place, one) for place, one in enumerate(ranked)}
    for chunk in split(len(candidates)):
        members = sorted(places[int(index)] for index in chunk if index >= 0)
        s = [one.comparison for _, one in members]
        assert s == sorted(s, reverse=True)


@given(st.permutations(range(10)), candidate_lists(10), QUERIES)
def test_the_order_inside_a_chunk_does_not_matter(
    shuffle: list[int], candidates: list[Candidate], query: tuple[Encoded, str | None]
) -> None:
    places = [at for at in shuffle if at < len(candidates)]
    straight = {candidates[one.index].item_id: one for one in RERANKER.rerank(*query, candidates)}
    shuffled = [candidates[at] for at in places]
    for one in RERANKER.rerank(*query, shuffled):
        same = straight[shuffled[one.index].item_id]
        assert one.comparison == pytest.approx(same.comparison, abs=1e-4)
        assert one.null == pytest.approx(same.null, abs=1e-4)
        assert one.probabilities == pytest.approx(same.probabilities, abs=1e-4)


def test_the_same_input_gives_the_same_bytes() -> None:
    candidates = [Candidate(str(at), 0.5, juice(at), f"t{at}") for at in range(25)]
    first = RERANKER.rerank(encoded(9), "t3", candidates)
    assert RERANKER.rerank(encoded(9), "t3", candidates) == first


def test_each_modality_has_its_own_parameters() -> None:
    candidates = [Candidate(str(at), 0.5, juice(at), f"t{at}") for at in range(5)]
    query = encoded(9)
    by_picture, with_words = (RERANKER.rerank(query, text, candidates) for text in (None, "t3"))
    assert by_picture != with_words
    assert RERANKER.rerank(query, "", candidates) == by_picture


@pytest.mark.parametrize(
    ("identity_weight", "recognised"), [(0, False), (MIN_IDENTITY_WEIGHT, False), (0.6, True)]
)
def test_unknown_catalogs_have_their_own_parameters(
    identity_weight: float, recognised: bool
) -> None:
    candidates = [Candidate(str(at), 0.5, juice(at), f"t{at}") for at in range(5)]
    query = replace(encoded(9), weights=PartWeights.with_identity(identity_weight))
    by_modality = PARAMETERS.known if recognised else PARAMETERS.unknown
    alone = Reranker(msgspec.structs.replace(PARAMETERS, known=by_modality, unknown=by_modality))
    other = Reranker(
        msgspec.structs.replace(PARAMETERS, known=PARAMETERS.unknown, unknown=PARAMETERS.known)
    )
    ranked = RERANKER.rerank(query, "t3", candidates)
    assert ranked == alone.rerank(query, "t3", candidates)
    assert ranked != other.rerank(query, "t3", candidates)


def test_no_candidates_give_no_list() -> None:
    assert RERANKER.rerank(encoded(1), "pear", []) == []


def test_parameters_survive_a_round_trip_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "weights" / "reranker.json"
    write_parameters(PARAMETERS, path)
    assert load_reranker(path).parameters == PARAMETERS
    assert [one.name for one in path.parent.iterdir()] == ["reranker.json"]


def test_bad_parameters_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "reranker.json"
    with pytest.raises(RerankerError, match="lookstream train reranker"):
        load_reranker(path)
    path.write_text('{"format": 1}')
    with pytest.raises(RerankerError, match="cannot be read"):
        load_reranker(path)
    write_parameters(msgspec.structs.replace(PARAMETERS, features=("similarity",)), path)
    with pytest.raises(RerankerError, match="this version has"):
        load_reranker(path)
