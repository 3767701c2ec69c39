"""Corruptions of photos, on plain pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.images.corruptions import (
    CLUTTER,
    CORRUPTION_NAMES,
    MAX_OCCLUSION,
    PIXEL_CORRUPTIONS,
    corrupt,
    low_light,
    occlusion,
)
from models.images.letterbox import Picture


def scene(seed: int = 0, height: int = 64, width: int = 80) -> Picture:
    """A picture with edges and colours."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 220, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


def test_all_are_clutter_and_those_on_pixels() -> None:
    assert (CLUTTER, *PIXEL_CORRUPTIONS) == CORRUPTION_NAMES


@pytest.mark.parametrize("name", PIXEL_CORRUPTIONS)
@settings(max_examples=12)
@given(strength=st.floats(0.2, 1), seed=st.integers(0, 10_000))
def test_each_changes_the_picture_and_keeps_its_form(name: str, strength: float, seed: int) -> None:
    before = scene()
    kept = before.copy()
    after = PIXEL_CORRUPTIONS[name](before, strength, np.random.default_rng(seed))
    assert after.shape == before.shape
    assert after.dtype == np.uint8
    assert not np.array_equal(after, before)
    assert np.array_equal(before, kept)
    again = PIXEL_CORRUPTIONS[name](before, strength, np.random.default_rng(seed))
    assert np.array_equal(after, again)


@pytest.mark.parametrize("name", PIXEL_CORRUPTIONS)
def test_strength_zero_leaves_the_picture(name: str) -> None:
    before = scene()
    assert np.array_equal(PIXEL_CORRUPTIONS[name](before, 0.0, np.random.default_rng(0)), before)


@pytest.mark.parametrize("name", PIXEL_CORRUPTIONS)
def test_more_strength_corrupts_more(name: str) -> None:
    before = scene(height=128, width=128).astype(float)

    def harm(strength: float) -> float:
        found = [
            np.abs(
                PIXEL_CORRUPTIONS[name](
                    before.astype(np.uint8), strength, np.random.default_rng(seed)
                )
                - before
            ).mean()
            for seed in range(8)
        ]
        return float(np.mean(found))

    assert harm(1.0) > harm(0.3) > 0


@settings(max_examples=40)
@given(strength=st.floats(0.05, 1), seed=st.integers(0, 100_000))
def test_occlusion_hides_no_more_than_it_may(strength: float, seed: int) -> None:
    before = scene(seed % 5)
    after = occlusion(before, strength, np.random.default_rng(seed))
    hidden = (before != after).any(axis=2).mean()
    # The edge is soft: pixels half covered count half.
    assert hidden <= MAX_OCCLUSION * strength + 0.05


def test_low_light_darkens() -> None:
    before = scene()
    for seed in range(5):
        after = low_light(before, 1.0, np.random.default_rng(seed))
        assert after.mean() < 0.7 * before.mean()
        assert after.mean() > 2


def test_leaving_one_out_changes_no_other() -> None:
    before = scene()
    both = corrupt(before, {"occlusion": 0.8, "low_resolution": 0.5}, [1, 2])
    one = corrupt(before, {"occlusion": 0.8}, [1, 2])
    resumed = PIXEL_CORRUPTIONS["low_resolution"](
        one, 0.5, np.random.default_rng([1, 2, list(PIXEL_CORRUPTIONS).index("low_resolution")])
    )
    assert np.array_equal(both, resumed)
    assert np.array_equal(corrupt(before, {CLUTTER: 1.0}, [1]), before)
