"""The sentence encoders there are, by the name that `models.text` has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.arrays import Floats
from models.backbone.checkpoints import MINILM, MULTILINGUAL, PackagedFile
from models.errors import WeightsError
from models.text import minilm, multilingual
from models.text.folding import keep_case
from models.text.hashed_ngrams import english_ngrams, ngrams


class SentenceEncoder(Protocol):
    """Texts in, one vector each out; the same text always gives the same bytes."""

    @property
    def width(self) -> int:
        """Values of a vector."""

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return rows (n, width) of length 1; an empty text gives a row of zeros."""

    def knows(self, word: str) -> bool:
        """Whether a word is common in a language that it reads."""


@dataclass(frozen=True)
class TextModel:
    """A sentence encoder, and how letters are compared beside it.

    Attributes:
        name: part of the model id, without "-".
        width: values of a sentence vector.
        files: all that makes the vectors, by hash.
        load: the encoder, in at most a second.
        normalise: makes texts equal that it takes for equal.
        ngrams: the n-grams of a text with their weights, for what is hashed beside its vector.
    """

    name: str
    width: int
    files: tuple[PackagedFile, ...]
    load: Callable[[], SentenceEncoder]
    normalise: Callable[[str], str]
    ngrams: Callable[[str], Mapping[str, float]]


TEXT_MODELS = {
    model.name: model
    for model in (
        TextModel(
            "minilm",
            minilm.WIDTH,
            (MINILM,),
            minilm.MiniLMEncoder,
            minilm.normalise,
            english_ngrams,
        ),
        TextModel(
            "multilingual",
            multilingual.WIDTH,
            MULTILINGUAL,
            multilingual.MultilingualEncoder,
            keep_case,
            ngrams,
        ),
    )
}
DEFAULT = "minilm"


def text_model(name: str = DEFAULT) -> TextModel:
    """The sentence encoder of a name.

    Raises:
        WeightsError: there is none; the message has the names.
    """
    if name not in TEXT_MODELS:
        raise WeightsError(f"there is no text encoder {name!r}: there are {', '.join(TEXT_MODELS)}")
    return TEXT_MODELS[name]
