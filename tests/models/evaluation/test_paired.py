"""Comparing two systems on the same queries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.paired import Outcome, paired

HITS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(HITS)
def test_swapping_the_two_swaps_the_outcome(hits: list[tuple[bool, bool]]) -> None:
    first, second = np.array(hits).T
    products = np.arange(len(hits))
    one, other = paired(first, second, products), paired(second, first, products)
    assert one.difference == pytest.approx(-other.difference)
    assert one.error == pytest.approx(other.error)
    swapped = {Outcome.BETTER: Outcome.WORSE, Outcome.WORSE: Outcome.BETTER}
    assert swapped.get(one.outcome, Outcome.EQUAL) is other.outcome


@given(HITS)
def test_the_same_answers_are_equal(hits: list[tuple[bool, bool]]) -> None:
    first = np.array(hits)[:, 0]
    assert paired(first, first, np.arange(len(hits))).outcome is Outcome.EQUAL


def test_the_error_is_that_of_a_mean() -> None:
    """Of differences 1, 0, 0, 1 the standard deviation is .577, and that of their mean half."""
    first, second = np.zeros(4, bool), np.array([True, False, False, True])
    found = paired(first, second, np.arange(4))
    assert (found.first, found.second) == (0.0, 0.5)
    assert found.error == pytest.approx(0.57735 / 2, abs=1e-4)
    assert found.outcome is Outcome.EQUAL


def test_queries_of_one_product_count_as_one_witness() -> None:
    """Forty of forty would be clear if they were of forty products."""
    first, second = np.zeros(40, bool), np.ones(40, bool)
    assert paired(first, second, np.arange(40)).outcome is Outcome.BETTER
    assert paired(first, second, np.zeros(40, np.intp)).outcome is Outcome.EQUAL
