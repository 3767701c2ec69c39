import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.arrays import Floats
from models.errors import RerankerError
from models.evaluation.calibration_error import calibration_error
from models.evaluation.metrics import Levels
from models.reranking.comparison import impute
from models.training.reranker.fit_calibration import fit_levels
from models.training.reranker.fit_comparison import fit_comparison

RANDOM = np.random.default_rng(5)


def random_lists(chunks: int, size: int = 8) -> tuple[Floats, Levels]:
    """Features (chunks, size, 3): the second depends on the level, the others are noise."""
    levels = RANDOM.integers(0, 4, (chunks, size)).astype(np.int8)
    features = RANDOM.standard_normal((chunks, size, 3)).astype(np.float32)
    features[..., 1] = -levels + 0.3 * RANDOM.standard_normal((chunks, size))
    return features, levels


def test_the_informative_feature_gets_the_weight_and_null_separates_instances() -> None:
    features, levels = random_lists(200)
    fitted = fit_comparison(features, levels, shrinkage=1e-3)
    assert fitted.weights[1] > 20 * max(fitted.weights[0], fitted.weights[2])
    fresh, truth = random_lists(100)
    s, null = fitted.scores(fresh)
    above = s > null[:, None]
    assert (above == (truth == 0)).mean() > 0.9
    better = truth[:, :, None] < truth[:, None, :]
    assert (s[:, :, None] > s[:, None, :])[better].mean() > 0.95


def test_shrinkage_falls_back_on_the_order_of_retrieval() -> None:
    features, levels = random_lists(200)
    features[..., 0] = 0.2 * features[..., 1] + 0.1 * features[..., 0]
    fitted = fit_comparison(features, levels, shrinkage=1e3)
    s, _ = fitted.scores(features)
    assert (np.argsort(s, axis=1) == np.argsort(features[..., 0], axis=1)).mean() > 0.95


def test_a_missing_feature_neither_raises_nor_lowers_the_rank() -> None:
    features, levels = random_lists(50)
    fitted = fit_comparison(features, levels, shrinkage=0.01)
    chunk = features[:1].copy()
    chunk[0, 3, 1] = np.nan
    imputed, present = impute(chunk)
    assert imputed[0, 3, 1] == pytest.approx(np.nanmean(chunk[0, :, 1]))
    assert present.all()
    chunk[0, 4] = np.nan
    chunk[..., 2] = np.nan
    s, null = fitted.scores(chunk)
    assert np.isnan(s[0]).tolist() == [place == 4 for place in range(8)]
    assert np.isfinite(null).all()


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 5), st.just(3)),
        elements=st.one_of(st.just(np.nan), st.floats(-5, 5, width=32)),
    )
)
def test_levels_are_probabilities_whatever_is_missing(features: Floats) -> None:
    probabilities = LEVELS.probabilities(features)
    assert probabilities.shape == (*features.shape[:2], 4)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0)


def test_levels_are_calibrated_on_fresh_lists() -> None:
    features, levels = random_lists(400)
    probabilities = np.concatenate([LEVELS.probabilities(one) for one in features[:, None]])
    assert (probabilities.argmax(axis=-1) == levels).mean() > 0.8
    assert calibration_error(probabilities[..., 0].ravel(), levels.ravel() == 0) < 0.05


def test_a_level_that_never_occurs_has_no_probability() -> None:
    features, levels = random_lists(50)
    two = np.where(levels <= 1, 1, 3).astype(np.int8)
    fitted = fit_levels(features[:, None], two[:, None])
    probabilities = fitted.probabilities(features)
    assert probabilities[..., [0, 2]].max() < 1e-6
    assert (np.where(probabilities[..., 1] > 0.5, 1, 3) == two).mean() > 0.9
    with pytest.raises(RerankerError, match="same level"):
        fit_levels(features[:, None], np.ones_like(levels)[:, None])


def test_calibration_error_by_hand() -> None:
    probability = np.array([0.2] * 5 + [0.8] * 5)
    outcome = np.array([True, False, False, False, False] + [True] * 4 + [False])
    assert calibration_error(probability, outcome, bins=2) == pytest.approx(0.0)
    assert calibration_error(probability, ~outcome, bins=2) == pytest.approx(0.6)
    assert calibration_error(np.array([]), np.array([], dtype=bool)) == 0.0


def _fitted_levels() -> tuple[Floats, Levels]:
    features, levels = random_lists(400)
    return features[:, None], levels[:, None]


LEVELS = fit_levels(*_fitted_levels())
