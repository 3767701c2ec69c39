from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays import Floats, unit
from models.embedding.layout import (
    APPEARANCE_PREFIXES,
    COLOUR_PREFIXES,
    IDENTITY_PREFIXES,
    NO_PICTURE,
    PICTURE_WEIGHT,
    PREFIXES,
    TEXT_PREFIXES,
    TEXT_WEIGHT,
    PartWeights,
    PictureParts,
    compose_item,
    compose_query,
    identity_part,
    picture_parts,
    replace_text,
)
from models.errors import TextError

SEEDS = st.integers(0, 1000)


def drawn(seed: int, width: int) -> Floats:
    return unit(np.random.default_rng(seed).normal(size=width).astype(np.float32))


def picture(seed: int) -> PictureParts:
    return PictureParts(drawn(seed, 128), drawn(seed + 5000, 384), drawn(seed + 9000, 128))


def decaying(seed: int) -> PictureParts:
    """Like principal axes: each value is less than the one before."""
    parts = [
        unit((part * np.exp(-np.arange(len(part)) / 20)).astype(np.float32))
        for part in picture(seed)
        if part is not None
    ]
    return PictureParts(*parts)


def cosine(one: Floats | None, other: Floats | None, width: int) -> float:
    assert one is not None
    assert other is not None
    return float(unit(one[:width]) @ unit(other[:width]))


@given(seed=SEEDS, dim=st.sampled_from(PREFIXES), pictured=st.booleans(), learned=st.booleans())
def test_items_have_length_one_at_every_prefix_whatever_is_missing(
    seed: int, dim: int, pictured: bool, learned: bool
) -> None:
    parts = picture(seed) if pictured else NO_PICTURE
    if not learned:
        parts = replace(parts, identity=None)
    for text in (drawn(seed + 1, 127), None):
        item = compose_item(parts, text, dim=dim)
        assert item.shape == (dim,)
        assert np.linalg.norm(item) == pytest.approx(1, abs=1e-5)


WEIGHTS = [
    PartWeights(),
    PartWeights(0.5, 0.3, 0.2),
    PartWeights(1, 0, 0),
    PartWeights(0, 4, 2),  # only ratios count
    PartWeights.with_identity(0.25),
]


@pytest.mark.parametrize("place", range(len(PREFIXES)))
@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_query_by_picture_ranks_by_its_parts_as_weighted(
    place: int, weights: PartWeights
) -> None:
    dim = PREFIXES[place]
    query_parts, item_parts = picture(1), picture(2)
    query = compose_query(query_parts, None, weights, dim=dim)
    shares = np.array([weights.identity, weights.appearance, weights.colour], np.float64)
    shares /= shares.sum()
    widths = (IDENTITY_PREFIXES[place], APPEARANCE_PREFIXES[place], COLOUR_PREFIXES[place])
    cosines = [
        cosine(one, other, width)
        for one, other, width in zip(query_parts, item_parts, widths, strict=True)
    ]
    expected = shares @ cosines * PICTURE_WEIGHT / np.sqrt(3) / np.linalg.norm(shares)
    for text in (None, drawn(3, 127), drawn(4, 127)):
        item = compose_item(item_parts, text, dim=dim)
        assert query @ item == pytest.approx(expected, abs=1e-5)


@given(seed=SEEDS, weights=st.sampled_from(WEIGHTS), text_weight=st.floats(0.1, 3))
def test_text_counts_as_much_against_the_picture_at_any_weights(
    seed: int, weights: PartWeights, text_weight: float
) -> None:
    parts, words = picture(seed), drawn(seed, 127)
    weights = replace(weights, text=text_weight)
    query, alone = compose_query(parts, words, weights), compose_query(parts, None, weights)
    worded = compose_query(NO_PICTURE, words)
    item = compose_item(parts, words)
    by_picture = query @ item - query @ worded * (worded @ item)
    assert by_picture / (query @ worded * (worded @ item)) == pytest.approx(
        PICTURE_WEIGHT**2 / TEXT_WEIGHT**2 / text_weight, rel=1e-3
    )
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(alone) == pytest.approx(1, abs=1e-5)


def test_by_default_all_parts_count_the_same() -> None:
    query, near = (
        compose_query(picture(1), drawn(2, 127), *weights)
        for weights in ((), (PartWeights(identity=1 / 3 + 1e-7),))
    )
    assert np.allclose(near, query, atol=1e-6)


@pytest.mark.parametrize("place", range(len(PREFIXES)))
def test_a_query_by_text_ranks_by_text_alone(place: int) -> None:
    dim, width = PREFIXES[place], TEXT_PREFIXES[place]
    query_text, text = drawn(1, 127), drawn(2, 127)
    query = compose_query(NO_PICTURE, query_text, PartWeights(identity=0.9), dim=dim)
    item = compose_item(picture(3), text, dim=dim)
    assert query @ item == pytest.approx(TEXT_WEIGHT * cosine(query_text, text, width), abs=1e-5)
    assert query @ compose_item(picture(3), None, dim=dim) == 0


@pytest.mark.parametrize("dim", PREFIXES)
def test_a_prefix_of_a_picture_query_orders_items_as_an_encoder_of_that_length(dim: int) -> None:
    query_parts, items = decaying(0), [decaying(seed) for seed in range(1, 30)]
    short = compose_query(query_parts, None, dim=dim)
    served = [compose_item(one, None, dim=dim) @ short for one in items]
    cut = unit(compose_query(query_parts, None)[:dim])
    whole = np.stack([compose_item(one, None) for one in items])
    sliced = unit(whole[:, :dim]) @ cut
    assert np.corrcoef(served, sliced)[0, 1] > 0.9


@pytest.mark.parametrize("place", range(len(PREFIXES)))
def test_the_parts_are_found_in_the_vector_again(place: int) -> None:
    parts = picture(1)
    item = compose_item(parts, drawn(2, 127), dim=PREFIXES[place])
    widths = (IDENTITY_PREFIXES[place], APPEARANCE_PREFIXES[place], COLOUR_PREFIXES[place])
    for found, part, width in zip(picture_parts(item[None]), parts, widths, strict=True):
        assert part is not None
        cut = unit(part[:width])
        assert np.allclose(found[0][: len(cut)], cut, atol=1e-6)
        assert not found[0][len(cut) :].any()  # a part of fewer values than its place
    assert (identity_part(item[None]) == picture_parts(item[None])[0]).all()
    assert not identity_part(compose_item(replace(parts, identity=None), None)).any()


def test_another_text_leaves_the_picture_part_as_it_is() -> None:
    item = compose_item(picture(1), drawn(2, 127))
    anew = compose_item(picture(1), drawn(3, 127))
    assert replace_text(item, drawn(3, 127)).tobytes() == anew.tobytes()
    none = compose_item(picture(1), None)
    assert replace_text(item, None).tobytes() == none.tobytes()


def test_a_query_of_nothing_is_refused() -> None:
    with pytest.raises(TextError, match="needs a picture"):
        compose_query(NO_PICTURE, None)
