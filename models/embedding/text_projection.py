"""The text part of the vector: a sum of linear maps of a sentence vector and character n-grams.

A sentence encoder knows that an eggplant is an aubergine and misses an "abuergine"; character
n-grams find the latter and not the former. The maps are trained together
(`models.training.text.train`), so that a query lies near what is meant at every prefix.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.arrays import Floats, unit
from models.embedding.layout import TEXT_PREFIXES, TEXT_WIDTH
from models.errors import ProjectionError, WeightsError
from models.text.hashed_ngrams import BUCKETS, hash_ngrams
from models.text.sentence_encoders import DEFAULT, SentenceEncoder, TextModel, text_model
from models.weights import WEIGHTS
from models.weights.files import read_weights, write_weights

FORMAT = 1
WIDTH = TEXT_WIDTH
PREFIXES = tuple(dict.fromkeys(TEXT_PREFIXES))
"""Each is usable alone, at length 1 again."""

PACKAGED = {
    name: WEIGHTS / f"words{suffix}.safetensors"
    for name, suffix in (("minilm", ""), ("multilingual", "-multilingual"))
}
"""The maps of each sentence encoder."""


@dataclass(frozen=True, eq=False)
class TextProjection:
    """Maps of sentence vectors (``meaning``, (width, 127)) and n-grams (``letters``, (4096, 127)).

    ``model`` is the sentence encoder that they are for; ``card`` says what they were fitted on and
    how.
    """

    model: TextModel
    meaning: Floats
    letters: Floats
    card: dict[str, object]

    def project(self, text: str, sentence: Floats) -> Floats:
        """The text's vector (127,) of length 1; zeros for a text without words.

        ``sentence`` is the sentence encoder's vector of the text, of length 1 or zeros. Texts are
        mapped one at a time, so that the same text has the same bytes in any batch.
        """
        return unit(sentence @ self.meaning + hash_ngrams(self.model.ngrams(text)) @ self.letters)

    def encode(self, text: str, encoder: SentenceEncoder) -> Floats:
        """As `project`, for a text whose sentence vector is not at hand."""
        return self.project(text, encoder.encode([text])[0])


def save_text_projection(projection: TextProjection, path: Path) -> None:
    """Write ``path`` (safetensors, fp16) and its card beside it (``.json``)."""
    tensors = {"meaning": projection.meaning, "letters": projection.letters}
    write_weights(
        path,
        {name: rows.astype(np.float16) for name, rows in tensors.items()},
        {"format": FORMAT, "text": projection.model.name, **projection.card},
    )


def load_text_projection(text: str = DEFAULT, path: Path | None = None) -> TextProjection:
    """Read the maps for a sentence encoder; the packaged ones by default.

    Raises:
        WeightsError: there is no sentence encoder of that name.
        ProjectionError: missing, unreadable, of another shape, or for another sentence encoder.
    """
    model = text_model(text)
    path = path or PACKAGED[text]
    command = f"fit them with `lookstream train text --text {text} --out {path}`"
    try:
        read, card = read_weights(path)
        tensors = {name: rows.astype(np.float32) for name, rows in read.items()}
        if card.pop("format") != FORMAT:
            raise ProjectionError(f"{path} was written by another version; {command}")
        found = card.pop("text", DEFAULT)  # earlier files are all of one encoder
        if found != text:
            raise ProjectionError(f"{path} is for the text encoder {found!r:.40}; {command}")
        projection = TextProjection(model, **tensors, card=card)
    except FileNotFoundError as error:
        raise ProjectionError(f"no text projection at {path}; {command}") from error
    except (WeightsError, KeyError, TypeError) as error:
        raise ProjectionError(f"{path} cannot be read ({error}); {command}") from error
    shapes = projection.meaning.shape, projection.letters.shape
    if shapes != ((model.width, WIDTH), (BUCKETS, WIDTH)):
        raise ProjectionError(f"{path} holds maps of shapes {shapes}; {command}")
    return projection
