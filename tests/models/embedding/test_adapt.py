"""A query map learned from a catalog's own views, and its exam."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.embedding.adapt import examine, learn_query_map
from models.embedding.layout import (
    APPEARANCE_WIDTH,
    COLOUR_WIDTH,
    IDENTITY_WIDTH,
    PartWeights,
    PictureParts,
    compose_item,
    query_for_item,
)
from models.embedding.part_weights import Witnesses

WEIGHTS = PartWeights.with_identity(0.25)
ITEMS, VIEWS = 160, 3


def vectors(rows: NDArray[np.floating]) -> Floats:
    """Items' vectors of such parts (n, 640)."""
    parts = np.split(rows.astype(np.float32), [128, 512], axis=1)
    return np.stack(
        [
            compose_item(PictureParts(*(unit(part) for part in one)), None)
            for one in zip(*parts, strict=True)
        ]
    )


def catalog(nuisance: float, seed: int = 0) -> Witnesses:
    """Items, and views that differ from them along four directions, the same for all."""
    rng = np.random.default_rng(seed)
    width = IDENTITY_WIDTH + APPEARANCE_WIDTH + COLOUR_WIDTH
    directions = rng.normal(size=(4, width))
    own = rng.normal(size=(ITEMS, width))

    shown = np.repeat(np.arange(ITEMS), VIEWS)
    changes = nuisance * rng.normal(size=(len(shown), 4)) @ directions
    views = own[shown] + changes + 3 * rng.normal(size=(len(shown), width))
    return Witnesses(vectors(own), np.arange(ITEMS), np.full(ITEMS, -1), vectors(views), shown)


def test_what_views_change_is_unlearned_for_products_never_taught() -> None:
    exam = examine(catalog(nuisance=3), WEIGHTS)
    assert exam.passed
    assert exam.after_self > exam.before_self
    assert exam.products == 40
    assert exam.views == 120


def test_a_map_that_forgets_kinds_is_not_passed() -> None:
    # What views change is what tells the kinds apart.
    rng = np.random.default_rng(1)
    kinds = rng.normal(size=(6, 640))
    own = kinds[np.arange(ITEMS) % 6] + 2.5 * rng.normal(size=(ITEMS, 640))
    shown = np.repeat(np.arange(ITEMS), VIEWS)
    change = 6 * rng.normal(size=(len(shown), 6)) @ kinds
    views = vectors(own[shown] + change)
    products = np.arange(ITEMS)
    exam = examine(Witnesses(vectors(own), products, products % 6, views, shown), WEIGHTS)
    assert exam.after_category < exam.before_category
    assert not exam.passed


def test_where_nothing_can_be_learned_the_exam_is_not_passed() -> None:
    easy = catalog(nuisance=0)
    views = np.stack([unit(one) for one in easy.items[easy.shown]])
    assert not examine(replace(easy, views=views), WEIGHTS).passed


def test_the_same_witnesses_give_the_same_map() -> None:
    one, again = (learn_query_map(catalog(1.0), WEIGHTS) for _ in range(2))
    assert (one.matrix == again.matrix).all()
    assert (one.offset == again.offset).all()


def test_a_map_leaves_words_alone_and_the_length_at_one() -> None:
    found = catalog(1.0)
    learned = replace(WEIGHTS, query_map=learn_query_map(found, WEIGHTS))
    text = unit(np.ones(127, np.float32))
    mapped = query_for_item(found.views[0], text, learned)
    plain = query_for_item(found.views[0], text, WEIGHTS)
    assert np.isclose(np.linalg.norm(mapped), 1, atol=1e-5)
    words = query_for_item(np.zeros_like(plain), text, learned)
    assert (words == query_for_item(np.zeros_like(plain), text, WEIGHTS)).all()
    assert np.isclose(mapped @ words, plain @ words, atol=1e-5)


def test_other_pictures_of_a_product_are_no_wrong_answers() -> None:
    pairs = replace(catalog(3.0), products=np.arange(ITEMS) // 2)
    exam = examine(pairs, WEIGHTS)
    assert exam.products == 20
    assert exam.passed
