"""What a catalog's own products teach of colours and categories, in a file beside its weights.

The file is learned when the catalog is weighed, and by `lookstream suggest`; the ingest worker
follows it (`ingest.predict_attributes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from index.item import Item
from models.arrays import Floats, unit
from models.embedding.layout import picture_parts
from models.embedding.protocol import CatalogEncoder
from models.errors import WeightsError
from models.juicer.class_predictor import ClassPredictor, ClassTrial, fit_classes
from models.text.colour_words import colour_words
from models.weights.files import read_weights, replacing, write_tensors
from workers.config.settings import Settings
from workers.evidence.followed_file import FollowedFile
from workers.evidence.sample import evidence_dir

log = structlog.get_logger()

COLOUR_NAMES = frozenset({"colour", "color", "colors", "colours"})
"""Attributes that say a colour."""
SUGGESTED = "suggested"
"""The key of a payload under which a suggestion is stored."""
PATH = "\t"
"""Between the nodes of a category in the name of a class."""


class Suggestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a picture predicts that its product does not say; stored beside what it says.

    Attributes:
        colour: a colour word, "" where none is predicted.
        category: a path, root first.
    """

    colour: str = ""
    category: tuple[str, ...] = ()


def stored_suggestion(suggestion: Suggestion) -> dict[str, Any]:
    """What a payload has of a suggestion: nothing where nothing is predicted."""
    predicted: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(suggestion))
    return {SUGGESTED: predicted} if predicted else {}


@dataclass(frozen=True, eq=False)
class AttributePredictor:
    """The classes that a catalog teaches; None where it teaches none.

    Attributes:
        model_id: of the encoder whose vectors it reads.
        products: how many it was learned from.
        colour: by the colour of a picture.
        category: by what a picture shows, for each depth of the path that can be predicted.
    """

    model_id: str
    products: int
    colour: ClassPredictor | None
    category: tuple[ClassPredictor, ...]

    def figures(self) -> dict[str, int]:
        """How much can be predicted, for a log."""
        return {
            "products": self.products,
            "colours": _predicted_names(self.colour),
            "categories": sum(map(_predicted_names, self.category)),
        }

    def suggest(
        self,
        vectors: Floats,
        texts: Sequence[str],
        categories: Sequence[Sequence[str]],
        attributes: Sequence[Mapping[str, Any]],
    ) -> list[Suggestion]:
        """What is predicted for some items, as far as their products do not say it.

        Args:
            vectors: (n, dim) of the encoder, with or without texts.
            texts: title and description of their products.
            categories, attributes: of their products.
        """
        colours = self.colour.predict(_colours(vectors)) if self.colour else [None] * len(vectors)
        looks = _looks(vectors)
        paths = [one.predict(looks) for one in self.category]
        return [
            Suggestion(
                colour=(colour or "") if not _names_colour(text, says) else "",
                category=() if category else _deepest([predicted[at] for predicted in paths]),
            )
            for at, (colour, text, category, says) in enumerate(
                zip(colours, texts, categories, attributes, strict=True)
            )
        ]


def fit_attributes(items: Iterable[Item], model_id: str) -> AttributePredictor:
    """Learn from a catalog's items with vectors: the first picture of each product teaches."""
    shown: dict[str, Item] = {}
    for item in items:
        if not item.is_tombstone and item.vector is not None:
            known = shown.get(item.product_id)
            if known is None or item.item_id < known.item_id:
                shown[item.product_id] = item
    products = [item for _, item in sorted(shown.items())]
    vectors = [item.vector for item in products if item.vector is not None]
    if not vectors:
        return AttributePredictor(model_id, 0, None, ())
    stacked = np.stack(vectors)
    looks, colours = _looks(stacked), _colours(stacked)
    seen: NDArray[np.bool_] = np.any(looks, axis=1)

    def learned(features: Floats, names: Sequence[str | None]) -> ClassPredictor | None:
        rows = [at for at, name in enumerate(names) if name is not None and seen[at]]
        return fit_classes(features[rows], [names[at] or "" for at in rows])

    paths = [tuple(item.payload.get("category", ())) for item in products]
    depths = range(1, 1 + max(map(len, paths)))
    by_depth = [
        learned(looks, [PATH.join(path[:depth]) if len(path) >= depth else None for path in paths])
        for depth in depths
    ]
    return AttributePredictor(
        model_id,
        int(seen.sum()),
        learned(colours, [_colour_of(item) for item in products]),
        tuple(one for one in by_depth if one is not None),
    )


class AttributePredictorFile:
    """The file of one catalog, for one model; read again when it has changed."""

    def __init__(self, settings: Settings, model_id: str) -> None:
        self.path = evidence_dir(settings) / "attributes.safetensors"
        self._model_id = model_id
        self._followed = FollowedFile(self.path, self._decoded)

    def read(self) -> AttributePredictor | None:
        """What was learned; None if there is nothing for this model."""
        return self._followed.read()

    def write(self, words: AttributePredictor) -> None:
        """Replace the file; who reads sees the old one or the new one."""
        classes = {f"category{depth}": one for depth, one in enumerate(words.category)}
        if words.colour:
            classes["colour"] = words.colour
        tensors = {f"{key}.weights": one.weights for key, one in classes.items()}
        tensors |= {f"{key}.margins": one.margins for key, one in classes.items()}
        card = {
            "format": 1,
            "model_id": words.model_id,
            "products": words.products,
            "classes": {
                key: {"names": one.names, "trials": [asdict(trial) for trial in one.trials]}
                for key, one in classes.items()
            },
        }
        write_tensors(self.path, tensors, card)

    def _decoded(self) -> AttributePredictor | None:
        try:
            tensors, card = read_weights(self.path)
            classes = {
                key: ClassPredictor(
                    tuple(one["names"]),
                    tensors[f"{key}.weights"],
                    tensors[f"{key}.margins"],
                    tuple(ClassTrial(**trial) for trial in one["trials"]),
                )
                for key, one in card["classes"].items()
            }
            words = AttributePredictor(
                str(card["model_id"]),
                int(card["products"]),
                classes.pop("colour", None),
                tuple(classes[key] for key in sorted(classes)),
            )
        except (OSError, WeightsError, KeyError, TypeError, ValueError) as error:
            log.warning(
                "what the catalog's products teach cannot be read, and is not used: learn it "
                "again (lookstream suggest)",
                file=str(self.path),
                why=str(error),
            )
            return None
        return words if words.model_id == self._model_id else None


def share_attribute_predictor(live: Settings, candidate: Settings) -> None:
    """Let an index that is built anew begin with what the live one was taught, if anything was.

    Of another model it is not used there, and learned again in time.
    """
    source, target = (AttributePredictorFile(one, "").path for one in (live, candidate))
    if source.exists() and not target.exists():
        with replacing(target) as draft:
            draft.write_bytes(source.read_bytes())


def attribute_predictor_of(
    settings: Settings, encoder: CatalogEncoder
) -> AttributePredictorFile | None:
    """What an ingest worker follows; None where it must not, or cannot read vectors by part."""
    if not (settings.ingest.predict_attributes and encoder.has_parts and encoder.replaces_text):
        return None
    return AttributePredictorFile(settings, encoder.model_id)


def _predicted_names(classes: ClassPredictor | None) -> int:
    """How many names can be predicted."""
    return sum(1 for one in classes.trials if one.predicted) if classes else 0


def _deepest(predicted: Sequence[str | None]) -> tuple[str, ...]:
    """The longest path that was predicted."""
    paths = [tuple(name.split(PATH)) for name in predicted if name is not None]
    return max(paths, key=len, default=())


def _colour_of(item: Item) -> str | None:
    """The one colour that a product says; None where it says none, or several."""
    said = item.offer.get("attributes") or {}
    named = {word for value in _colour_values(said) for word in colour_words(value)}
    named = named or set(colour_words(item.payload.get("title") or ""))
    return named.pop() if len(named) == 1 else None


def _names_colour(text: str, attributes: Mapping[str, Any]) -> bool:
    """Whether a product says any colour, of whatever it is."""
    values = (str(value) for value in attributes.values())
    return bool(_colour_values(attributes)) or any(map(colour_words, (text, *values)))


def _colour_values(attributes: Mapping[str, Any]) -> list[str]:
    return [str(value) for name, value in attributes.items() if name.lower() in COLOUR_NAMES]


def _looks(vectors: Floats) -> Floats:
    """What pictures show, (n, d) of length 1, without their colours; zeros without a picture."""
    identity, appearance, _ = picture_parts(vectors)
    return unit(np.concatenate([identity, appearance], axis=-1))


def _colours(vectors: Floats) -> Floats:
    return picture_parts(vectors)[2]
