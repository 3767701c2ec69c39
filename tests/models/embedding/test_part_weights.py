"""A catalog's own evidence decides how its parts are weighed."""

from dataclasses import replace

import numpy as np
import pytest

from models.arrays import Floats, unit
from models.embedding.layout import (
    APPEARANCE_WIDTH,
    COLOUR_WIDTH,
    IDENTITY_WIDTH,
    PartWeights,
    PictureParts,
    compose_item,
    picture_parts,
)
from models.embedding.part_weights import MIN_ITEMS, Witnesses, weigh_parts

PRIOR = PartWeights.with_identity(0.25)
ITEMS = 80


def witnesses(
    told_by: str, *, items: int = ITEMS, kinds: int = 8, noise: float = 2.5, identity: bool = True
) -> Witnesses:
    """A catalog whose products only one part tells apart, and views of its items.

    All parts tell the kinds; the other parts differ from view to view.
    """
    rng = np.random.default_rng(0)
    widths = {"identity": IDENTITY_WIDTH, "appearance": APPEARANCE_WIDTH, "colour": COLOUR_WIDTH}
    categories = np.arange(items) % kinds
    kind_parts = {name: rng.normal(size=(kinds, width)) for name, width in widths.items()}
    own_parts = {name: rng.normal(size=(items, width)) for name, width in widths.items()}

    def vectors(change: float) -> Floats:
        rows = []
        for item in range(items):
            parts: dict[str, Floats | None] = {}
            for name, width in widths.items():
                own = own_parts[name][item] if name == told_by else rng.normal(size=width)
                part = kind_parts[name][categories[item]] + own + change * rng.normal(size=width)
                parts[name] = unit(part.astype(np.float32))
            if not identity:
                parts["identity"] = None
            rows.append(compose_item(PictureParts(**parts), None))
        return np.stack(rows)

    return Witnesses(vectors(0.1), np.arange(items), categories, vectors(noise), np.arange(items))


def test_what_tells_products_apart_counts_more() -> None:
    by_colour = weigh_parts(witnesses("colour"), PRIOR)
    assert by_colour.weights.colour > PRIOR.colour
    assert by_colour.self_at_1 > by_colour.prior_self_at_1
    by_appearance = weigh_parts(witnesses("appearance", noise=6), PRIOR)
    assert by_appearance.weights.colour < PRIOR.colour
    by_identity = weigh_parts(witnesses("identity", noise=4), PRIOR)
    assert by_identity.weights.identity > PRIOR.identity


def with_other_pictures(given: Witnesses, items: Floats) -> Witnesses:
    """The same catalog, where each product has another picture."""
    return replace(
        given,
        items=np.concatenate([given.items, items]),
        products=np.tile(given.products, 2),
        categories=np.tile(given.categories, 2),
    )


def test_other_pictures_of_a_product_witness_too() -> None:
    """Views have kept the colour; the products' other pictures have other colours."""
    by_views, rng = witnesses("colour"), np.random.default_rng(1)
    _, appearances, _ = picture_parts(by_views.items)
    others = [
        compose_item(
            PictureParts(
                unit(rng.normal(size=IDENTITY_WIDTH).astype(np.float32)),
                appearance,
                unit(rng.normal(size=COLOUR_WIDTH).astype(np.float32)),
            ),
            None,
        )
        for appearance in appearances
    ]
    by_both = weigh_parts(with_other_pictures(by_views, np.stack(others)), PRIOR)
    assert by_both.weights.colour < weigh_parts(by_views, PRIOR).weights.colour


def test_a_picture_does_not_find_itself() -> None:
    """The two pictures of a product have nothing in common, and each view is one of them."""
    easy, rng = witnesses("colour"), np.random.default_rng(1)
    unlike = unit(rng.normal(size=easy.items.shape).astype(np.float32))
    found = weigh_parts(with_other_pictures(replace(easy, views=easy.items), unlike), PRIOR)
    assert found.prior_self_at_1 == pytest.approx(1 / 3, abs=0.03)


def test_shares_add_up_and_words_keep_their_weight() -> None:
    prior = PartWeights(0.25, 0.5, 0.25, text=0.7)
    found = weigh_parts(witnesses("colour"), prior).weights
    assert np.isclose(found.identity + found.appearance + found.colour, 1)
    assert found.text == 0.7


def test_few_items_witness_nothing() -> None:
    weighed = weigh_parts(witnesses("colour", items=MIN_ITEMS - 1), PRIOR)
    assert weighed.weights == PRIOR
    assert not weighed.views


def test_where_all_weights_do_the_prior_is_kept() -> None:
    easy = witnesses("colour", noise=0.1)
    assert weigh_parts(replace(easy, views=easy.items), PRIOR).weights == PRIOR


def test_an_encoder_without_identity_weighs_the_other_parts() -> None:
    found = weigh_parts(
        witnesses("colour", items=160, identity=False), PartWeights.with_identity(0)
    )
    assert found.weights.identity == 0
    assert found.weights.colour > 1 / 3


def test_one_category_is_no_evidence_of_kinds() -> None:
    assert weigh_parts(witnesses("colour", kinds=1), PRIOR).category_at_1 == 0


def test_a_known_catalog_keeps_its_identity() -> None:
    known = PartWeights.with_identity(1.0)
    assert weigh_parts(witnesses("identity"), known).weights == known
