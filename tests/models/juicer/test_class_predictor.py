"""Classes that a catalog's own products teach."""

import numpy as np
import pytest

from models.arrays import Floats, unit
from models.juicer.class_predictor import PRECISION, fit_classes

NAMES = ("boots", "hats", "scarves")


def products(count: int, spread: float, seed: int = 0) -> tuple[Floats, list[str]]:
    """Features around a direction of each name, and the names."""
    rng = np.random.default_rng(seed)
    names = [NAMES[at % len(NAMES)] for at in range(count)]
    middle = np.stack([np.eye(16)[NAMES.index(name)] for name in names])
    return unit((middle + spread * rng.normal(size=middle.shape)).astype(np.float32)), names


def test_what_looks_alike_is_predicted() -> None:
    learned = fit_classes(*products(90, spread=0.1))
    assert learned is not None
    features, names = products(300, spread=0.1, seed=1)
    predicted = learned.predict(features)
    assert sum(one is not None for one in predicted) > 270
    assert all(one in (None, name) for one, name in zip(predicted, names, strict=True))
    assert [one.products for one in learned.trials] == [30, 30, 30]


def test_nothing_is_told_without_a_picture() -> None:
    learned = fit_classes(*products(90, spread=0.1))
    assert learned is not None
    assert learned.predict(np.zeros((2, 16), np.float32)) == [None, None]


@pytest.mark.parametrize("spread", [0.4, 0.6])
def test_where_classes_overlap_only_sure_cases_are_predicted(spread: float) -> None:
    learned = fit_classes(*products(300, spread))
    assert learned is not None
    features, names = products(3000, spread, seed=1)
    predicted = [
        (one, name)
        for one, name in zip(learned.predict(features), names, strict=True)
        if one is not None
    ]
    assert 0 < len(predicted) < len(names)
    assert sum(one == name for one, name in predicted) / len(predicted) > PRECISION - 0.02


def test_names_that_nothing_tells_are_kept_silent_about() -> None:
    features, names = products(90, spread=0.1)
    rng = np.random.default_rng(2)
    assert fit_classes(features, [str(one) for one in rng.permutation(names)]) is None


def test_a_name_of_few_products_is_told_when_there_are_more() -> None:
    features, names = products(24, spread=0.05)
    assert fit_classes(features, names) is None
    features, names = products(60, spread=0.05)
    assert fit_classes(features, names) is not None


def test_one_name_alone_tells_nothing() -> None:
    features, _ = products(30, spread=0.1)
    assert fit_classes(features, ["boots"] * 30) is None
    assert fit_classes(features[:0], []) is None
