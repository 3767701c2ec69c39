"""None of these: told by NULL where it was learned, else by the candidates' probabilities."""

import pytest

from models.reranking.no_match import none_by_null, none_by_probabilities
from models.reranking.protocol import Ranked


def ranked(comparison: float, null: float, score: float = 0.5) -> Ranked:
    rest = (1 - score) / 3
    return Ranked(0, score, 0, (score, rest, rest, rest), comparison, null)


def test_the_further_null_is_beaten_the_less_probable_none_is() -> None:
    found = [none_by_null([ranked(above, 0.0), ranked(-30.0, 0.0)]) for above in (-20, 0, 2, 8, 30)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.99
    assert found[-1] < 0.01


def test_what_counts_is_each_candidates_own_null() -> None:
    one_chunk, two_chunks = [ranked(5.0, 4.0)], [ranked(5.0, 4.0), ranked(2.0, -3.0)]
    assert none_by_null(two_chunks) < none_by_null(one_chunk)
    assert none_by_null(two_chunks) == none_by_null([ranked(5.0, 0.0)])


def test_extremes_and_no_candidates_are_no_error() -> None:
    assert none_by_null([]) == none_by_probabilities([]) == 1.0
    assert 0 <= none_by_null([ranked(1e9, 0.0)]) < none_by_null([ranked(-1e9, 0.0)]) <= 1


def test_without_null_the_probabilities_say_it() -> None:
    assert none_by_probabilities([ranked(0, 0, 0.5), ranked(0, 0, 0.2)]) == pytest.approx(0.4)
