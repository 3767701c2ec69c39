"""Words and pictures in two cones of one space, as CLIP's are, are compared by what they mean.

A made-up catalog: things have a direction each, pictures of them another that all pictures share,
and their names another that all words share.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays import Floats, unit
from models.embedding.layout import (
    COLOUR_WIDTH,
    NO_PICTURE,
    PREFIXES,
    TEXT_WIDTH,
    PartWeights,
    PictureParts,
    appearance_block,
    compose_item,
    picture_parts,
    query_for_words,
    text_part,
)
from models.embedding.words_to_pictures import ENOUGH, LACKING, PROBES, WordsToPictures, measure

WIDTH, THINGS = 64, 60
RNG = np.random.default_rng(0)
MEANINGS = unit(RNG.normal(size=(THINGS, WIDTH)).astype(np.float32))
OF_PICTURES, OF_WORDS = unit(RNG.normal(size=(2, WIDTH)).astype(np.float32))
TEXTS = unit(RNG.normal(size=(THINGS, TEXT_WIDTH)).astype(np.float32) + 0.8)
"""In the space of texts alone, the name of each thing."""
GREY = np.eye(COLOUR_WIDTH, dtype=np.float32)[0]


def pictured(things: Floats, gap: float) -> Floats:
    return unit(things + gap * OF_PICTURES)


def named(things: Floats, gap: float) -> Floats:
    return unit(things + gap * OF_WORDS + 0.3 * gap * OF_PICTURES)


def catalog(gap: float, texts: list[bool], dim: int = 768) -> Floats:
    """Items of all things, some with their name and some without."""
    return np.stack(
        [
            compose_item(PictureParts(None, seen, GREY), TEXTS[number] if said else None, dim=dim)
            for number, (seen, said) in enumerate(zip(pictured(MEANINGS, gap), texts, strict=True))
        ]
    )


def learned(items: Floats, gap: float, dim: int = 768) -> WordsToPictures:
    probes = unit(np.random.default_rng(1).normal(size=(len(PROBES), WIDTH)).astype(np.float32))
    sentences = unit(
        np.random.default_rng(2).normal(size=(len(PROBES), TEXT_WIDTH)).astype(np.float32) + 0.8
    )
    words = appearance_block(named(probes, gap), dim)
    texts = np.stack([compose_item(NO_PICTURE, one, dim=dim) for one in sentences])
    found = measure(picture_parts(items)[1], text_part(items), words, text_part(texts))
    assert found is not None
    return found


@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0, 4.0])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_words_find_things_with_a_text_and_without_alike(gap: float, share: float) -> None:
    texts = [number < share * THINGS for number in range(THINGS)]
    items = catalog(gap, texts)
    weights = PartWeights(words=learned(items, gap))
    found = [
        int((items @ query_for_words(word, text, weights)).argmax())
        for word, text in zip(named(MEANINGS, gap), TEXTS, strict=True)
    ]
    right, said = np.array(found) == np.arange(THINGS), np.array(texts)
    assert right[said].sum() >= 0.95 * said.sum()
    assert right[~said].sum() >= 0.8 * (~said).sum()


@pytest.mark.parametrize("gap", [0.5, 4.0])
def test_a_thing_without_a_picture_is_found_by_its_text(gap: float) -> None:
    """What all pictures have in common with words would bury it."""
    items = catalog(gap, [True] * THINGS)
    items[7] = compose_item(NO_PICTURE, TEXTS[7])
    word, text = named(MEANINGS, gap)[7], TEXTS[7]
    query = query_for_words(word, text, PartWeights(words=learned(items, gap)))
    assert int((items @ query).argmax()) == 7


@pytest.mark.parametrize("gap", [0.5, 2.0])
def test_unrelated_pictures_and_texts_scatter_alike(gap: float) -> None:
    items = catalog(gap, [True] * THINGS)
    words = learned(items, gap)
    only_seen = catalog(gap, [False] * THINGS)
    only_said = np.stack([compose_item(NO_PICTURE, text) for text in TEXTS])
    weights = PartWeights(words=words)
    strange = unit(np.random.default_rng(5).normal(size=(40, WIDTH)).astype(np.float32))
    said = unit(np.random.default_rng(6).normal(size=(40, TEXT_WIDTH)).astype(np.float32) + 0.8)
    queries = np.stack(
        [
            query_for_words(one, other, weights)
            for one, other in zip(named(strange, gap), said, strict=True)
        ]
    )
    by_pictures, by_texts = queries @ only_seen.T, queries @ only_said.T
    assert by_pictures.std(axis=1).mean() == pytest.approx(by_texts.std(axis=1).mean(), rel=0.2)
    # Lacking a text or a picture counts the same, and more than an unrelated one.
    scatter = by_texts.std(axis=1).mean()
    both = (queries @ catalog(gap, [True] * THINGS).T).mean()
    assert by_pictures.mean() - both == pytest.approx(LACKING * scatter, rel=0.25)
    assert by_texts.mean() - both == pytest.approx(LACKING * scatter, rel=0.4)


@given(seed=st.integers(0, 100), dim=st.sampled_from(PREFIXES), weight=st.floats(0, 10))
def test_a_query_by_words_has_length_one_and_no_colour(seed: int, dim: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    word, text = (unit(rng.normal(size=n).astype(np.float32)) for n in (WIDTH, TEXT_WIDTH))
    query = query_for_words(word, text, PartWeights(words=WordsToPictures(weight=weight)), dim=dim)
    assert query.shape == (dim,)
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
    identity, _, colour = picture_parts(query)
    assert not identity.any()
    assert not colour.any()


def test_nothing_is_measured_on_too_few_pictures() -> None:
    items = catalog(1.0, [True] * THINGS)[: ENOUGH - 1]
    some = np.zeros((3, WIDTH), np.float32)
    appearances = picture_parts(items)[1]
    assert (
        measure(appearances, text_part(items), some, np.zeros((3, TEXT_WIDTH), np.float32)) is None
    )
