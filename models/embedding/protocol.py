"""What the encoder makes of one product or query: a vector to find it by, juice to judge it by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from models.arrays import Floats
from models.images.letterbox import Picture
from models.juicer.juice import Juice


@dataclass(frozen=True, eq=False)
class Encoded:
    """One encoded item or query.

    Attributes:
        vector: float32 (dim,) of length 1.
        juice: what it is judged by.
        familiarity: how far a query trusts in identity, 0..1; says nothing of an item.
    """

    vector: Floats
    juice: Juice
    identity_weight: float = 1.0


class PictureTextEncoder(Protocol):
    """What curation and juicing need of an encoder: see `models.embedding.encoder.Encoder`."""

    model_id: str

    def encode(
        self,
        pictures: Sequence[Picture | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
        *,
        query: bool = False,
    ) -> list[Encoded]:
        """Encode items, or queries."""


class SearchEncoder(PictureTextEncoder, Protocol):
    """What asking a catalog needs beside that.

    Who inherits it has vectors of one piece, which there is nothing to weigh in.
    """

    def identity_weight(self, items: Floats) -> float:
        """How far a catalog can be recognised, 0..1, by the vectors (n, dim) of some items."""
        return 1.0

    def weigh_identity(self, query: Encoded, identity_weight: float) -> Encoded:
        """The query as it is to be asked of a catalog of that familiarity."""
        return query
