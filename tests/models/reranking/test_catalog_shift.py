"""A catalog's shift moves probabilities, never the order, and as far as evidence goes."""

import numpy as np
import pytest

from models.reranking.catalog_shift import NO_SHIFT, Answers, CatalogShift, fit_shift, shifted
from models.reranking.protocol import Ranked


def answers(count: int, given: float, right: float, pictures_each: int = 2) -> Answers:
    """Answers of one probability, of which a share was right."""
    rng = np.random.default_rng(0)
    true = rng.permutation(np.arange(count) < right * count)
    return Answers(np.full(count, given), true, np.arange(count) // pictures_each, np.ones(count))


def ranked(*scores: float) -> list[Ranked]:
    return [
        Ranked(at, one, 0, (one, (1 - one) / 2, (1 - one) / 2, 0.0), 0.0, 0.0)
        for at, one in enumerate(scores)
    ]


def test_where_more_is_right_than_was_said_the_shift_is_up_and_else_down() -> None:
    harder, easier, as_said = (fit_shift(answers(300, 0.5, right)) for right in (0.2, 0.8, 0.5))
    assert harder.shift < -1 < 1 < easier.shift
    assert abs(as_said.shift) < 1e-6
    assert shifted(0.5, easier.shift) == pytest.approx(0.8, abs=0.02)
    assert easier.brier < easier.prior_brier


def test_few_answers_move_it_little() -> None:
    shifts = [fit_shift(answers(count, 0.5, 1.0)).shift for count in (1, 4, 40, 400)]
    assert shifts == sorted(shifts)
    assert shifts[0] == 0, "nothing was held out"
    assert 0 < shifts[1] < 0.5


def test_where_products_that_were_held_out_are_not_better_off_it_stays() -> None:
    found = fit_shift(answers(40, 0.5, 0.5))
    assert (found.shift, found.brier) == (0, found.prior_brier)


def test_a_list_keeps_its_order_and_its_probabilities_sum_to_one() -> None:
    before = ranked(0.9, 0.5, 0.1, 0.0, 1.0)
    for by in (-2.0, 2.0):
        after = CatalogShift(instance=by).of_list(before)
        order = np.argsort([one.score for one in before])
        assert [one.index for one in after] == [one.index for one in before]
        assert np.argsort([one.score for one in after]).tolist() == order.tolist()
        assert all(sum(one.probabilities) == pytest.approx(1) for one in after)
        assert all(one.score == one.probabilities[0] for one in after)
        assert (after[3].score, after[4].score) == (0, 1)
        assert (after[1].score > 0.5) == (by > 0)
    assert CatalogShift(instance=-2.0).of_list(before)[1].level == 1


def test_none_is_shifted_by_a_number_of_its_own() -> None:
    shift = CatalogShift(instance=1.0, none=-1.0)
    assert shift.of_none(0.5) < 0.5 < CatalogShift(none=1.0).of_none(0.5)
    assert NO_SHIFT.of_none(0.3) == 0.3
    assert NO_SHIFT.of_list(ranked(0.3)) == ranked(0.3)


def test_answers_that_count_twice_are_as_good_as_twice_as_many() -> None:
    one = answers(10, 0.5, 0.8)
    twice = Answers(one.given, one.true, one.products, 2 * one.weights)
    both = Answers(
        *(np.concatenate([getattr(one, name)] * 2) for name in Answers.__dataclass_fields__)
    )
    assert fit_shift(twice).shift == pytest.approx(fit_shift(both).shift)
