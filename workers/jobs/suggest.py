"""`lookstream suggest`: attributes predicted for products of the live catalog that lack them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from index.item import Item
from models.catalog.folder import product_text
from models.embedding.protocol import CatalogEncoder
from models.juicer.class_predictor import ClassPredictor
from models.weights.files import replacing
from workers.catalog_index import open_catalog
from workers.config.settings import Settings
from workers.errors import SettingsError
from workers.evidence.predicted_attributes import (
    PATH,
    AttributePredictor,
    AttributePredictorFile,
    Suggestion,
    fit_attributes,
)
from workers.model_fit import check_model

OnItems = Callable[[int], None]


@dataclass(frozen=True)
class Suggested:
    """What was learned, and how many products something was predicted for.

    Attributes:
        words: what the catalog teaches.
        products: in the catalog.
        colours, categories: products that a colour, a category was predicted for.
    """

    words: AttributePredictor
    products: int
    colours: int
    categories: int

    def json(self) -> dict[str, Any]:
        """The report for machines."""
        return {
            "products": self.products,
            "learned_from": self.words.products,
            "predicted": {"colour": self.colours, "category": self.categories},
            "classes": [
                {
                    "kind": kind,
                    "name": name,
                    "products": products,
                    "predicted": predicted,
                    "right": right,
                }
                for kind, name, products, predicted, right in self.rows()
            ],
        }

    def rows(self) -> Iterator[tuple[str, str, int, int, int]]:
        """Kind, name, products that have it, and of a trial: predictions, and right ones."""
        kinds: list[tuple[str, ClassPredictor]] = [("category", one) for one in self.words.category]
        if self.words.colour:
            kinds.append(("colour", self.words.colour))
        for kind, classes in kinds:
            for name, trial in zip(classes.names, classes.trials, strict=True):
                shown = name.replace(PATH, " > ")
                yield kind, shown, trial.products, trial.predicted, trial.right


def suggest(
    settings: Settings, encoder: CatalogEncoder, out: Path | None, on_items: OnItems
) -> Suggested:
    """Learn from the live catalog, and write what is predicted for its products as JSON lines.

    Args:
        settings: of the deployment whose index is live.
        encoder: of its vectors.
        out: the file to write; None to write none.
        on_items: called with how many items were read so far; all are read twice.

    Raises:
        SettingsError: nothing is indexed, or the encoder's vectors have no parts.
        ModelMismatch: the index is of another encoder.
    """
    if not encoder.has_parts:
        raise SettingsError(
            f"vectors of {encoder.model_id} have no parts for colour and looks, and nothing is "
            "predicted from them: a vision-language model (models.backbone) mixes all"
        )
    check_model(settings, encoder.model_id)
    collection, _ = open_catalog(settings)
    with closing(collection):
        read = 0

        def counted(page: Sequence[Item]) -> Sequence[Item]:
            nonlocal read
            read += len(page)
            on_items(read)
            return page

        pages = map(counted, collection.scan(vectors=True))
        words = fit_attributes((item for page in pages for item in page), encoder.model_id)
        AttributePredictorFile(settings, encoder.model_id).write(words)
        predicted: dict[str, Suggestion] = {}
        products: set[str] = set()
        for page in map(counted, collection.scan(vectors=True)):
            products.update(item.product_id for item in page)
            predicted |= _predicted(words, [item for item in page if item.item_id.endswith("#0")])
    if out is not None:
        lines = [
            msgspec.json.encode({"product_id": one, **msgspec.to_builtins(found)}) + b"\n"
            for one, found in sorted(predicted.items())
        ]
        with replacing(out) as draft:
            draft.write_bytes(b"".join(lines))
    return Suggested(
        words,
        len(products),
        sum(1 for one in predicted.values() if one.colour),
        sum(1 for one in predicted.values() if one.category),
    )


def _predicted(words: AttributePredictor, items: Sequence[Item]) -> dict[str, Suggestion]:
    """What is predicted for the products that these items are the first pictures of."""
    if not items:
        return {}
    found = words.suggest(
        np.stack([item.vector for item in items if item.vector is not None]),
        [product_text(i.payload["title"], i.payload["description"]) or "" for i in items],
        [item.payload["category"] for item in items],
        [item.offer.get("attributes") or {} for item in items],
    )
    return {
        item.product_id: one
        for item, one in zip(items, found, strict=True)
        if one.colour or one.category
    }
