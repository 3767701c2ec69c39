"""Adapting a catalog: a query map after its part weights, its exam, and its file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.embedding.adapt import Exam, examine, learn_query_map
from models.embedding.layout import PartWeights
from models.embedding.part_weights import Witnesses
from models.embedding.query_map import QueryMap
from models.errors import WeightsError
from models.weights.files import read_weights, write_tensors

PARTS = ("identity", "appearance", "colour", "text")


@dataclass(frozen=True)
class Adaptation:
    """A query map of one catalog.

    Attributes:
        model_id: of the encoder whose queries it maps; those of no other.
        weights: of the parts, with the map: it was learned after these and means nothing after
            others.
        weights_version: of the weights' file; "" where the catalog had none of its own.
        exam: why it was taken.
        items: what it was learned from.
        made_at: in seconds since the epoch.
    """

    model_id: str
    weights: PartWeights
    weights_version: str
    exam: Exam
    items: int
    made_at: float

    @property
    def version(self) -> str:
        """When it was made, as a name."""
        return datetime.fromtimestamp(self.made_at, UTC).isoformat(timespec="milliseconds")

    @property
    def summary(self) -> str:
        """What it is and what speaks for it, in a line."""
        exam = self.exam
        return (
            f"queries are mapped, learned from {self.items} pictures on {self.version[:10]}; of "
            f"{exam.products} products held out: self@1 {exam.before_self:.1%} → "
            f"{exam.after_self:.1%}, category@1 {exam.before_category:.1%} → "
            f"{exam.after_category:.1%}"
        )


def adapt_weights(witnesses: Witnesses, weights: PartWeights) -> tuple[PartWeights, Exam]:
    """The weights with a query map, if it passes its exam; otherwise as they are.

    Args:
        witnesses: of the catalog, mild and strong views.
        weights: that queries to it have.

    Raises:
        AdaptationError: there are too few products.
    """
    exam = examine(witnesses, weights)
    if not exam.passed:
        return weights, exam
    return replace(weights, query_map=learn_query_map(witnesses, weights)), exam


def write_adaptation(path: Path, adaptation: Adaptation) -> None:
    """Write it in one atomic step.

    Raises:
        ValueError: its weights have no map.
    """
    weights = adaptation.weights
    if weights.query_map is None:
        raise ValueError("an adaptation without a query map")
    card = {
        "model_id": adaptation.model_id,
        "weights": {part: getattr(weights, part) for part in PARTS},
        "weights_version": adaptation.weights_version,
        "exam": asdict(adaptation.exam),
        "items": adaptation.items,
        "made_at": adaptation.made_at,
    }
    tensors = {"matrix": weights.query_map.matrix, "offset": weights.query_map.offset}
    write_tensors(path, tensors, card)


def read_adaptation(path: Path) -> Adaptation:
    """Read what `write_adaptation` wrote.

    Raises:
        FileNotFoundError: there is none.
        WeightsError: it is damaged; the message names the file and says what to do.
    """
    try:
        tensors, card = read_weights(path)
        query_map = _checked(QueryMap(tensors["matrix"], tensors["offset"]))
        identity, appearance, colour, text = (float(card["weights"][part]) for part in PARTS)
        return Adaptation(
            str(card["model_id"]),
            PartWeights(identity, appearance, colour, text, query_map),
            str(card["weights_version"]),
            Exam(**card["exam"]),
            int(card["items"]),
            float(card["made_at"]),
        )
    except (WeightsError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} is damaged ({error}): make it anew (lookstream adapt), or take it away "
            "(lookstream adapt --undo)"
        ) from error


def _checked(query_map: QueryMap) -> QueryMap:
    matrix, offset = query_map.matrix, query_map.offset
    if matrix.shape != (*offset.shape, *offset.shape):
        raise ValueError(f"a map of {matrix.shape} and {offset.shape} values")
    if not (np.isfinite(matrix).all() and np.isfinite(offset).all()):
        raise ValueError("a map of values that are not finite")
    return QueryMap(matrix.astype(np.float32), offset.astype(np.float32))
