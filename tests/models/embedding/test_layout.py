import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays import Floats, unit
from models.embedding.layout import (
    APPEARANCE_PREFIXES,
    IDENTITY_PREFIXES,
    PICTURE_WEIGHT,
    PREFIXES,
    TEXT_PREFIXES,
    TEXT_WEIGHT,
    PartWeights,
    compose_item,
    compose_query,
    identity_part,
    replace_text,
)
from models.errors import TextError

SEEDS = st.integers(0, 1000)


def drawn(seed: int, width: int) -> Floats:
    return unit(np.random.default_rng(seed).normal(size=width).astype(np.float32))


def picture(seed: int) -> tuple[Floats, Floats]:
    """An identity and an appearance."""
    return drawn(seed, 128), drawn(seed + 5000, 256)


def decaying(seed: int) -> tuple[Floats, Floats]:
    """Like principal axes: each value is less than the one before."""
    identity, appearance = (part * np.exp(-np.arange(len(part)) / 20) for part in picture(seed))
    return unit(identity.astype(np.float32)), unit(appearance.astype(np.float32))


def cosine(one: Floats, other: Floats, width: int) -> float:
    return float(unit(one[:width]) @ unit(other[:width]))


@given(seed=SEEDS, dim=st.sampled_from(PREFIXES), pictured=st.booleans(), learned=st.booleans())
def test_items_have_length_one_at_every_prefix_whatever_is_missing(
    seed: int, dim: int, pictured: bool, learned: bool
) -> None:
    identity, appearance = picture(seed) if pictured else (None, None)
    for text in (drawn(seed + 1, 127), None):
        item = compose_item(identity if learned else None, appearance, text, dim=dim)
        assert item.shape == (dim,)
        assert np.linalg.norm(item) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("identity_weight", [0.0, 0.3, 0.5, 1.0])
def test_a_query_by_picture_ranks_by_identity_and_appearance_as_weighted(
    place: int, identity_weight: float
) -> None:
    dim = PREFIXES[place]
    query_parts, item_parts = picture(1), picture(2)
    query = compose_query(*query_parts, None, PartWeights(identity=identity_weight), dim=dim)
    expected = identity_weight * cosine(query_parts[0], item_parts[0], IDENTITY_PREFIXES[place])
    expected += (1 - identity_weight) * cosine(
        query_parts[1], item_parts[1], APPEARANCE_PREFIXES[place]
    )
    length = np.hypot(identity_weight, 1 - identity_weight)
    expected *= PICTURE_WEIGHT * np.sqrt(0.5) / length
    for text in (None, drawn(3, 127), drawn(4, 127)):
        item = compose_item(*item_parts, text, dim=dim)
        assert query @ item == pytest.approx(expected, abs=1e-5)


@given(seed=SEEDS, identity_weight=st.floats(0, 1))
def test_text_counts_as_much_against_the_picture_at_any_identity_weight(
    seed: int, identity_weight: float
) -> None:
    parts, words = picture(seed), drawn(seed, 127)
    weights = PartWeights(identity=identity_weight)
    query, alone = compose_query(*parts, words, weights), compose_query(*parts, None, weights)
    worded = compose_query(None, None, words)
    item = compose_item(*parts, words)
    by_picture = query @ item - query @ worded * (worded @ item)
    assert by_picture / (query @ worded * (worded @ item)) == pytest.approx(
        PICTURE_WEIGHT**2 / TEXT_WEIGHT**2, rel=1e-3
    )
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(alone) == pytest.approx(1, abs=1e-5)


def test_by_default_identity_has_half_the_weight() -> None:
    query, near = (
        compose_query(*picture(1), drawn(2, 127), *weights)
        for weights in ((), (PartWeights(identity=0.5 + 1e-7),))
    )
    assert np.allclose(near, query, atol=1e-6)


@pytest.mark.parametrize("place", range(4))
def test_a_query_by_text_ranks_by_text_alone(place: int) -> None:
    dim, width = PREFIXES[place], TEXT_PREFIXES[place]
    query_text, text = drawn(1, 127), drawn(2, 127)
    query = compose_query(None, None, query_text, PartWeights(identity=0.9), dim=dim)
    item = compose_item(*picture(3), text, dim=dim)
    assert query @ item == pytest.approx(TEXT_WEIGHT * cosine(query_text, text, width), abs=1e-5)
    assert query @ compose_item(*picture(3), None, dim=dim) == 0


@pytest.mark.parametrize("dim", PREFIXES)
def test_a_prefix_of_a_picture_query_orders_items_as_an_encoder_of_that_length(dim: int) -> None:
    query_parts, items = decaying(0), [decaying(seed) for seed in range(1, 30)]
    short = compose_query(*query_parts, None, dim=dim)
    served = [compose_item(*one, None, dim=dim) @ short for one in items]
    cut = unit(compose_query(*query_parts, None)[:dim])
    whole = np.stack([compose_item(*one, None) for one in items])
    sliced = unit(whole[:, :dim]) @ cut
    assert np.corrcoef(served, sliced)[0, 1] > 0.9


@pytest.mark.parametrize("place", range(4))
def test_the_identity_is_found_in_the_vector_again(place: int) -> None:
    identity, appearance = picture(1)
    item = compose_item(identity, appearance, drawn(2, 127), dim=PREFIXES[place])
    expected = unit(identity[: IDENTITY_PREFIXES[place]])
    assert np.allclose(identity_part(item[None])[0], expected, atol=1e-6)
    assert not identity_part(compose_item(None, appearance, None)).any()


def test_another_text_leaves_the_picture_part_as_it_is() -> None:
    parts = picture(1)
    item = compose_item(*parts, drawn(2, 127))
    anew = compose_item(*parts, drawn(3, 127))
    assert replace_text(item, drawn(3, 127)).tobytes() == anew.tobytes()
    none = compose_item(*parts, None)
    assert replace_text(item, None).tobytes() == none.tobytes()


def test_a_query_of_nothing_is_refused() -> None:
    with pytest.raises(TextError, match="needs a picture"):
        compose_query(None, None, None)
