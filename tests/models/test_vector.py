import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import TextError
from models.juice import Floats
from models.juicer import unit
from models.vector import (
    PICTURE_PREFIXES,
    PICTURE_WEIGHT,
    PREFIXES,
    TEXT_PREFIXES,
    TEXT_WEIGHT,
    assemble,
    reworded,
    shortened,
)


def drawn(seed: int, width: int) -> Floats:
    return unit(np.random.default_rng(seed).normal(size=width).astype(np.float32))


@given(seed=st.integers(0, 1000), dim=st.sampled_from(PREFIXES), pictured=st.booleans())
def test_items_have_length_one_at_every_prefix_whatever_is_missing(
    seed: int, dim: int, pictured: bool
) -> None:
    picture = drawn(seed, 384) if pictured else None
    for text in (drawn(seed + 1, 127), None):
        item = assemble(picture, text, query=False, dim=dim)
        assert item.shape == (dim,)
        assert np.linalg.norm(item) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("place", range(4))
def test_a_query_by_picture_ranks_by_pictures_alone(place: int) -> None:
    dim, width = PREFIXES[place], PICTURE_PREFIXES[place]
    asked, shown = drawn(1, 384), drawn(2, 384)
    query = assemble(asked, None, query=True, dim=dim)
    expected = PICTURE_WEIGHT * unit(asked[:width]) @ unit(shown[:width])
    for text in (None, drawn(3, 127), drawn(4, 127)):
        item = assemble(shown, text, query=False, dim=dim)
        assert query @ item == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("place", range(4))
def test_a_query_by_words_ranks_by_words_alone(place: int) -> None:
    dim, width = PREFIXES[place], TEXT_PREFIXES[place]
    asked, said = drawn(1, 127), drawn(2, 127)
    query = assemble(None, asked, query=True, dim=dim)
    item = assemble(drawn(3, 384), said, query=False, dim=dim)
    expected = TEXT_WEIGHT * unit(asked[:width]) @ unit(said[:width])
    assert query @ item == pytest.approx(expected, abs=1e-5)
    assert query @ assemble(drawn(3, 384), None, query=False, dim=dim) == 0


@pytest.mark.parametrize("dim", PREFIXES)
def test_a_prefix_of_a_picture_query_orders_items_as_an_encoder_of_that_length(dim: int) -> None:
    asked, items = drawn(0, 384), [drawn(seed, 384) for seed in range(1, 30)]
    short = assemble(asked, None, query=True, dim=dim)
    served = [assemble(one, None, query=False, dim=dim) @ short for one in items]
    cut = shortened(assemble(asked, None, query=True), dim)
    whole = np.stack([assemble(one, None, query=False) for one in items])
    sliced = shortened(whole, dim) @ cut
    assert np.corrcoef(served, sliced)[0, 1] > 0.98


def test_other_words_leave_the_picture_part_as_it_is() -> None:
    item = assemble(drawn(1, 384), drawn(2, 127), query=False)
    anew = assemble(drawn(1, 384), drawn(3, 127), query=False)
    assert reworded(item, drawn(3, 127), query=False).tobytes() == anew.tobytes()
    none = assemble(drawn(1, 384), None, query=False)
    assert reworded(item, None, query=False).tobytes() == none.tobytes()


def test_a_query_of_nothing_is_refused() -> None:
    with pytest.raises(TextError, match="needs a picture"):
        assemble(None, None, query=True)
