"""The text side of the encoder: a sentence's meaning and its letters in 127 values.

MiniLM knows that an eggplant is an aubergine and loses an "abuergine"; character n-grams know the
one and not the other. A linear map of each, trained together (`models.training.text.train`) so that
what is typed lies near what is meant at every prefix, keeps both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.arrays import Floats, unit
from models.embedding.layout import TEXT_PREFIXES, TEXT_WIDTH
from models.errors import ProjectionError, WeightsError
from models.text.hashed_ngrams import BUCKETS, hash_ngrams
from models.text.minilm import WIDTH as SENTENCE_WIDTH
from models.text.minilm import TextEncoder
from models.weights import WEIGHTS
from models.weights.files import read_weights, write_weights

FORMAT = 1
WIDTH = TEXT_WIDTH
PREFIXES = TEXT_PREFIXES
"""Each is usable alone, at length 1 again."""

PACKAGED = WEIGHTS / "words.safetensors"


@dataclass(frozen=True, eq=False)
class TextProjection:
    """Both maps: ``meaning`` (384, 127), ``letters`` (4096, 127). ``card`` says how they came."""

    meaning: Floats
    letters: Floats
    card: dict[str, object]

    def vector(self, text: str, sentence: Floats) -> Floats:
        """The text's vector (127,) of length 1; zeros for a text without words.

        ``sentence`` is MiniLM's vector (384,) of the text, of length 1 or zeros. One text at a
        time: the same text has the same bytes in any company.
        """
        return unit(sentence @ self.meaning + hash_ngrams(text) @ self.letters)

    def encode(self, text: str, encoder: TextEncoder) -> Floats:
        """As `vector`, for a text that MiniLM has not read yet."""
        return self.vector(text, encoder.encode([text])[0])


def save_text_projection(words: TextProjection, path: Path) -> None:
    """Write ``path`` (safetensors, fp16) and its card beside it (``.json``)."""
    tensors = {"meaning": words.meaning, "letters": words.letters}
    write_weights(
        path,
        {name: rows.astype(np.float16) for name, rows in tensors.items()},
        {"format": FORMAT, **words.card},
    )


def load_text_projection(path: Path = PACKAGED) -> TextProjection:
    """Read the maps; the packaged ones by default.

    Raises:
        ProjectionError: missing, unreadable, or of another shape.
    """
    command = f"fit them with `lookstream train text --out {path}`"
    try:
        read, card = read_weights(path)
        tensors = {name: rows.astype(np.float32) for name, rows in read.items()}
        if card.pop("format") != FORMAT:
            raise ProjectionError(f"{path} was written by another version; {command}")
        words = TextProjection(**tensors, card=card)
    except FileNotFoundError as error:
        raise ProjectionError(f"no maps of words at {path}; {command}") from error
    except (WeightsError, KeyError, TypeError) as error:
        raise ProjectionError(f"{path} cannot be read ({error}); {command}") from error
    shapes = words.meaning.shape, words.letters.shape
    if shapes != ((SENTENCE_WIDTH, WIDTH), (BUCKETS, WIDTH)):
        raise ProjectionError(f"{path} holds maps of shapes {shapes}; {command}")
    return words
