"""What an encoder makes of a product or a query: a vector to find it by, juice to rerank it by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from models.arrays import Floats
from models.embedding.layout import AS_COMPOSED, PartWeights
from models.images.letterbox import Picture
from models.juicer.juice import Juice
from models.juicer.objects import FoundObject
from models.text.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Encoded:
    """One encoded item or query.

    Attributes:
        vector: float32 (dim,) of length 1.
        juice: what the reranker reads.
        weights: of a query's parts; an item has `AS_COMPOSED`.
    """

    vector: Floats
    juice: Juice
    weights: PartWeights = AS_COMPOSED


class ItemEncoder(Protocol):
    """Encodes items: see `models.embedding.encoder.Encoder`."""

    model_id: str

    def find_objects(self, picture: Picture) -> tuple[FoundObject, ...]:
        """The objects that a picture shows, the surest first; none where the encoder finds none."""
        return ()

    def encode_items(
        self,
        pictures: Sequence[Picture | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
    ) -> list[Encoded]:
        """One vector and its juice for each picture and text."""


class SearchEncoder(ItemEncoder, Protocol):
    """Encodes items, and queries for a catalog of them.

    ``has_parts`` says that vectors have the layout of `models.embedding.layout`, so that a query's
    parts can be weighed; ``reads_words`` that `part_weights` also says how words are compared with
    pictures.
    """

    has_parts: bool = False
    reads_words: bool = False

    def encode_queries(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        weights: PartWeights = AS_COMPOSED,
    ) -> list[Encoded]:
        """Encode queries for a catalog whose `part_weights` these are.

        An item encoded by its picture alone stands for its own picture.
        """

    def part_weights(self, items: Floats) -> PartWeights:
        """How a query's parts count in a catalog, by the vectors (n, dim) of some of its items.

        By default as for a catalog that is recognised, for encoders whose vectors have no parts.
        """
        return PartWeights(identity=1.0)

    def empty_vocabulary(self) -> Vocabulary | None:
        """What a catalog's words are added to, so that queries can be repaired by them.

        None where words are read as they are typed.
        """
        return None


class CatalogEncoder(SearchEncoder, Protocol):
    """What the workers call: what `models.embedding.encoder` and `.mllm_encoder` have."""

    dim: int
    replaces_text: bool
    """Whether an encoded item can stand for its picture, which is then not encoded again."""

    def encode_items(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
    ) -> list[Encoded]:
        """One vector and its juice for each picture and text."""
