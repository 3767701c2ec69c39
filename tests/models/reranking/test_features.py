import numpy as np
import pytest

from models.arrays import Floats
from models.errors import RerankerError
from models.juicer.juice import Juice
from models.juicer.packed_matrix import PackedMatrix
from models.reranking.chunks import split
from models.reranking.features import FEATURES, collect_features
from models.reranking.protocol import Candidate
from tests.models.fake_juices import juice

CANDIDATE, QUERY, CHUNK = (
    FEATURES.index(f"{one}_maxsim") for one in ("candidate", "query", "chunk")
)


def picture_of(*tokens: int) -> Juice:
    """A picture whose tokens are unit axes: equal for the same patch, else orthogonal."""
    return Juice(token_matrix=PackedMatrix.pack(np.eye(8, dtype=np.float32)[list(tokens)]))


def compare(query: Juice, *juices: Juice) -> Floats:
    candidates = [Candidate(str(at), 0.5, one) for at, one in enumerate(juices)]
    features: Floats = collect_features(query, None, candidates, split(len(candidates)))[0]
    return features


def test_maxsim_of_candidate_and_query_by_hand() -> None:
    # Of four tokens the best two count. The candidates share token 0, so 1 and 4 decide.
    features = compare(picture_of(0, 1, 2, 3), picture_of(0, 1, 6, 7), picture_of(0, 4, 5, 6))
    np.testing.assert_allclose(features[:, QUERY], [1.0, 0.5], atol=1e-6)
    assert features[0, CANDIDATE] == pytest.approx(1.0)
    assert features[1, CANDIDATE] < 0.01


def test_chunk_maxsim_is_the_similarity_to_the_rest_of_the_chunk() -> None:
    features = compare(picture_of(0), picture_of(1, 2), picture_of(1, 2), picture_of(5, 6))
    np.testing.assert_allclose(features[:, CHUNK], [0.5, 0.5, 0.0], atol=1e-6)


def test_cosines_and_text() -> None:
    query = juice(1)
    candidates = [
        Candidate("same", 1.0, query, "red apple"),
        Candidate("other", 0.1, juice(2), "milk"),
    ]
    features = collect_features(query, "apples", candidates, split(2))[0]
    alike = np.delete(features[0], CHUNK)
    np.testing.assert_allclose(alike, 1.0, atol=1e-6)
    assert (np.delete(features[1], CHUNK) < 0.9).all()
    assert features[1, FEATURES.index("lexical")] == 0.0
    assert not np.isnan(features).any()


def test_what_is_missing_is_nan() -> None:
    candidates = [
        Candidate("both", 0.3, juice(1)),
        Candidate("words", 0.2, juice(2, picture=False), "pear"),
        Candidate("picture", 0.1, juice(3, text=False), "pear"),
    ]
    known = ~np.isnan(collect_features(juice(0), "pear", candidates, split(3))[0])
    assert known.tolist() == [
        [True, True, True, True, True, True, False],
        [True, False, False, False, False, True, True],
        [True, True, True, True, True, False, True],
    ]
    by_words = collect_features(juice(0, picture=False), "pear", candidates, split(3))[0]
    assert np.isnan(by_words[:, 1:5]).all()


def test_one_candidate_alone_has_no_chunk_maxsim_and_padding_no_features() -> None:
    assert np.isnan(compare(juice(0), juice(1))[0, CHUNK])
    candidates = [Candidate(str(seed), 0.0, juice(seed)) for seed in range(11)]
    features = collect_features(juice(99), None, candidates, split(11))
    assert features.shape == (2, 6, len(FEATURES))
    assert np.isnan(features[1, 5]).all()


def test_tokens_that_are_fewer_count_as_they_are() -> None:
    """A juice with fewer tokens is not compared through its padding."""
    short, full = picture_of(0), picture_of(0, 0, 0)
    features = compare(picture_of(0, 1), short, full, picture_of(4, 5, 6))
    np.testing.assert_allclose(features[0, :3], features[1, :3], atol=1e-6)


def test_tokens_of_four_and_of_eight_bits_are_compared() -> None:
    """An index that an older version filled has tokens of eight bits."""
    rows = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    eight = Juice(token_matrix=PackedMatrix.pack(rows))
    four = Juice(token_matrix=PackedMatrix.pack_directions(rows))
    features = compare(four, eight, four)
    np.testing.assert_allclose(features[:, QUERY], 1.0, atol=0.02)
    np.testing.assert_allclose(features[:, CHUNK], 1.0, atol=0.02)


def test_juice_of_another_model_is_refused() -> None:
    other = Juice(token_matrix=PackedMatrix.pack(np.ones((2, 3), np.float32)))
    with pytest.raises(RerankerError, match="different models"):
        compare(juice(0), other)
    with pytest.raises(RerankerError, match="different models"):
        compare(juice(0), juice(1), other)
