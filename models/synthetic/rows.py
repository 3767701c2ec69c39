"""The rows of a rendered catalog, and which split a product belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from models.synthetic import descriptions
from models.synthetic.photography import Shot
from models.synthetic.product_sampler import SPLIT, Design, product_id, stream

Row = dict[str, object]
SPLITS: Mapping[str, float] = {"train": 0.6, "val": 0.1, "test": 0.3}
"""Shares of products; photos belong to the split of their product, and so do twins."""


def split_of(made: Design, splits: Mapping[str, float] = SPLITS) -> str:
    """The split of a product; a product and its twin share one."""
    draw = stream(made.seed, made.index // 2, SPLIT).random() * sum(splits.values())
    for name, share in splits.items():
        draw -= share
        if draw < 0:
            return name
    return list(splits)[-1]


def product_row(made: Design) -> Row:
    """Its row in products.jsonl."""
    row: Row = {
        "product_id": made.product_id,
        "title": descriptions.title(made),
        "description": descriptions.description(made),
        "category": list(made.kind.category),
        "image": f"products/{made.product_id}.webp",
        "price": descriptions.price(made),
        "currency": "EUR",
        "attributes": descriptions.attributes(made),
    }
    if made.near_duplicate_of is not None:
        row["near_duplicate_of"] = product_id(made.seed, made.near_duplicate_of)
        row["changed"] = made.changed
    return row


def photo_row(made: Design, number: int, shot: Shot, split: str) -> Row:
    """The row of one of its photos in photos.jsonl."""
    row: Row = {
        "image": f"photos/{made.product_id}-{number}.webp",
        "product_id": made.product_id,
        "category": list(made.kind.category),
        "split": split,
        "box": [round(value, 4) for value in shot.box],
        "disturbances": shot.strengths,
    }
    text = descriptions.query(made, number)
    return row if text is None else {**row, "text": text}
