from collections.abc import Sequence

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.catalog.folder import Photo, Product
from models.errors import MetricError
from models.evaluation.metrics import (
    HIT_RATES,
    HitRate,
    Level,
    best_possible,
    category_level,
    classification,
    hit_rates,
    relevance,
    relevant_counts,
    score_rankings,
)

LEVELS = arrays.arrays(
    np.int8,
    st.tuples(st.integers(1, 5), st.integers(1, 14)),
    elements=st.integers(0, 3),
)
PRODUCTS = [
    Product(product_id="gala", category=("Fruit", "Apple")),
    Product(product_id="fuji", category=("Fruit", "Apple")),
    Product(product_id="pear", category=("Fruit", "Pear")),
    Product(product_id="milk", category=("Packages", "Milk")),
    Product(product_id="what"),
]


def test_levels_follow_the_category_path() -> None:
    photos = [
        Photo(image="", product_id="gala", category=("Fruit", "Apple")),
        Photo(image="", category=("Fruit", "Pear")),
        Photo(image="", product_id="what"),
    ]
    assert relevance(photos, PRODUCTS).tolist() == [
        [0, 1, 2, 3, 3],
        [2, 2, 1, 3, 3],
        [3, 3, 3, 3, 0],
    ]


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        (("a", "b", "c"), ("a", "b", "c"), Level.CONCEPT),
        (("a", "b", "c"), ("a", "b", "d"), Level.FUNCTIONAL),
        (("a", "b", "c"), ("a", "x", "c"), Level.IRRELEVANT),
        (("a",), ("a", "b"), Level.FUNCTIONAL),
        (("a",), ("b",), Level.IRRELEVANT),
        ((), (), Level.IRRELEVANT),
    ],
)
def test_level_of_two_paths(one: tuple[str, ...], other: tuple[str, ...], level: Level) -> None:
    assert category_level(one, other) is level
    assert category_level(other, one) is level


def test_hit_rates_by_hand() -> None:
    # G = 2 for the first query (one instance, one concept), 1 for the second, none for the third.
    ranked = np.array([[1, 3, 0, 2], [0, 1, 3, 3], [3, 2, 3, 2]], dtype=np.int8)
    relevant = np.array([2, 1, 0])
    expected = {
        HitRate(Level.INSTANCE, 1): [0, 1, np.nan],
        HitRate(Level.INSTANCE, 5): [0, 1, np.nan],
        HitRate(Level.CONCEPT, 1): [1, 1, np.nan],
        HitRate(Level.CONCEPT, 5): [0.5, 1, np.nan],
    }
    for rate, values in expected.items():
        np.testing.assert_equal(rate.per_query(ranked, relevant), values)
    rates = hit_rates(ranked, relevant)
    assert list(rates) == [
        *("i_hr_1", "i_hr_5", "i_hr_10"),
        *("c_hr_1", "c_hr_5", "c_hr_10"),
        "average",
    ]
    assert rates["i_hr_5"] == 0.5
    assert rates["c_hr_5"] == 0.75
    assert rates["average"] == pytest.approx(np.mean([0.5, 0.5, 0.5, 1.0, 0.75, 0.75]))
    assert str(HitRate(Level.CONCEPT, 5)) == "C-HR@5"


def test_rankings_as_ids() -> None:
    photos = [Photo(image="", product_id="gala", category=("Fruit", "Apple"))]
    best = score_rankings(photos, PRODUCTS, [["gala", "fuji"]])
    assert (best["i_hr_1"], best["i_hr_5"], best["c_hr_5"]) == (1.0, 0.5, 1.0)
    assert score_rankings(photos, PRODUCTS, [["ghost", "gala"]])["i_hr_1"] == 0.0
    assert score_rankings(photos, PRODUCTS, [["fuji", "fuji"]])["c_hr_5"] == 0.5
    assert score_rankings(photos, PRODUCTS, [[]])["average"] == 0.0


@given(LEVELS)
def test_hit_rates_are_shares_and_instances_are_concepts(levels: np.ndarray) -> None:
    relevant = relevant_counts(levels)
    ranked = np.sort(levels, axis=1)
    for rate in HIT_RATES:
        values = rate.per_query(levels, relevant)
        known = values[relevant > 0]
        assert np.isnan(values[relevant == 0]).all()
        assert ((known >= 0) & (known <= 1)).all()
        assert (known <= rate.per_query(ranked, relevant)[relevant > 0]).all()
    concept = HitRate(Level.CONCEPT, 5).per_query(ranked, relevant)
    assert (concept[relevant > 0] == 1).all()


@given(LEVELS)
def test_where_enough_is_relevant_c_hr_is_precision(levels: np.ndarray) -> None:
    """With G ≥ K the adaptive rate is the plain P@K of ir_measures."""
    k = 3
    enough = np.full(len(levels), k)
    judged, run = qrels_and_run(levels.tolist())
    theirs = ir_measures.calc_aggregate([ir_measures.P(rel=2) @ k], judged, run)
    ours = HitRate(Level.CONCEPT, k).per_query(levels, enough).mean()
    assert ours == pytest.approx(theirs[ir_measures.P(rel=2) @ k])


def qrels_and_run(
    levels: Sequence[Sequence[int]],
) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Levels in rank order as ir_measures takes them: relevance 3 − level, falling scores."""
    judged = {
        f"q{q}": {f"d{d}": 3 - level for d, level in enumerate(row)} for q, row in enumerate(levels)
    }
    run = {f"q{q}": {f"d{d}": float(-d) for d in range(len(row))} for q, row in enumerate(levels)}
    return judged, run


def test_classification_by_hand() -> None:
    levels = np.array([0, 0, 1, 3], dtype=np.int8)
    predicted = np.array([True, False, True, False])
    instance = classification(predicted, levels, Level.INSTANCE)
    assert (instance.precision, instance.recall, instance.f1) == (0.5, 0.5, 0.5)
    concept = classification(predicted, levels, Level.CONCEPT)
    assert concept.precision == 1.0
    assert concept.recall == pytest.approx(2 / 3)
    nothing = classification(np.zeros(4, dtype=bool), levels, Level.CONCEPT)
    assert (nothing.precision, nothing.recall, nothing.f1) == (0.0, 0.0, 0.0)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MetricError, match="do not fit"):
        HitRate(Level.CONCEPT, 1).per_query(np.zeros((2, 3), np.int8), np.ones(3, np.int64))
    with pytest.raises(MetricError, match="relevant"):
        hit_rates(np.full((1, 3), 3, np.int8), np.zeros(1, np.int64))
    with pytest.raises(MetricError, match="1 queries but 0 rankings"):
        score_rankings([Photo(image="")], PRODUCTS, [])


def test_the_best_possible_has_one_instance_in_two_relevant() -> None:
    photo = Photo(image="", product_id="gala", category=("Fruit", "Apple"))
    possible = best_possible([photo], PRODUCTS)
    assert possible["i_hr_1"] == 1.0
    assert possible["i_hr_5"] == 0.5
    assert possible["c_hr_10"] == 1.0


@given(st.permutations(range(len(PRODUCTS))))
def test_no_ranking_beats_the_best_possible(places: list[int]) -> None:
    photos = [Photo(image="", product_id=p.product_id, category=p.category) for p in PRODUCTS]
    ranking = [PRODUCTS[place].product_id for place in places]
    reached = score_rankings(photos, PRODUCTS, [ranking] * len(photos))
    possible = best_possible(photos, PRODUCTS)
    assert all(reached[key] <= possible[key] for key in possible)
