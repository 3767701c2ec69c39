"""The rows of a synthetic catalog, and the split of each product."""

from __future__ import annotations

from collections.abc import Mapping

from models.synthetic import descriptions
from models.synthetic.photography import Shot
from models.synthetic.product_sampler import SPLIT, Design, product_id, rng_for

Row = dict[str, object]
SPLITS: Mapping[str, float] = {"train": 0.6, "val": 0.1, "test": 0.3}
"""Shares of products; a product's photos and its near duplicate are in the same split."""


def split_of(product: Design, splits: Mapping[str, float] = SPLITS) -> str:
    """The split of a product, the same for its near duplicate."""
    draw = rng_for(product.seed, product.index // 2, SPLIT).random() * sum(splits.values())
    for name, share in splits.items():
        draw -= share
        if draw < 0:
            return name
    return list(splits)[-1]


def product_row(product: Design) -> Row:
    """Its row in products.jsonl."""
    row: Row = {
        "product_id": product.product_id,
        "title": descriptions.title(product),
        "description": descriptions.description(product),
        "category": list(product.kind.category),
        "image": f"products/{product.product_id}.webp",
        "price": descriptions.price(product),
        "currency": "EUR",
        "attributes": descriptions.attributes(product),
    }
    if product.near_duplicate_of is not None:
        row["near_duplicate_of"] = product_id(product.seed, product.near_duplicate_of)
        row["changed"] = product.changed
    return row


def photo_row(product: Design, number: int, shot: Shot, split: str) -> Row:
    """The row of one of its photos in photos.jsonl."""
    row: Row = {
        "image": f"photos/{product.product_id}-{number}.webp",
        "product_id": product.product_id,
        "category": list(product.kind.category),
        "split": split,
        "box": [round(value, 4) for value in shot.box],
        "corruptions": shot.strengths,
    }
    text = descriptions.query(product, number)
    return row if text is None else {**row, "text": text}
