"""English in, sentence vectors out: all-MiniLM-L6-v2 (Reimers and Gurevych 2019) on ONNX Runtime.

One text per run: the int8 network scales its activations over the whole input, so a neighbour in
a batch would change a text's vector, and replay needs the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from models.arrays import Floats
from models.backbone.checkpoints import MINILM
from models.text.folding import fold_text
from models.weights import WEIGHTS

WIDTH = 384
TOKENIZER = WEIGHTS / "minilm" / "tokenizer.json"
MAX_TOKENS = 128
"""MiniLM was trained on 128 tokens; the rest of a longer text is not read."""

_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
_SINGULAR_ENDINGS = ("ss", "us", "is", "os")
"""Endings of words that look like a plural and are none: glass, citrus, iris, cosmos."""


def singular(word: str) -> str:
    """English singular of a plain word by rule: berries → berry, dresses → dress, jeans → jean.

    Both sides of a comparison go through it, so a wrong singular costs nothing as long as it is
    the same one.
    """
    if len(word) <= 3 or not word.endswith("s") or word.endswith(_SINGULAR_ENDINGS):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes", "oes")):
        return word[:-2]
    return word[:-1]


def normalise(text: str) -> str:
    """Drop differences of case, number and spacing: "Red  APPLES" and "red apple" are one text."""
    return _WORD.sub(lambda match: singular(match.group()), fold_text(text))


class MiniLMEncoder:
    """MiniLM, mean-pooled; a normalised text always gives the same bytes."""

    width = WIDTH

    def __init__(self, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(MINILM.locate()), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return rows (n, 384) of length 1; an empty text gives a row of zeros."""
        return np.stack([self._encode_one(normalise(text)) for text in texts]) if texts else _NONE

    def knows(self, word: str) -> bool:
        """Whether a word is one piece to the network, as the 20,000 most common English ones."""
        return len(self._tokenizer.encode(fold_text(word), add_special_tokens=False).ids) == 1

    def _encode_one(self, text: str) -> Floats:
        if not text:
            return np.zeros(WIDTH, np.float32)
        ids = np.array([self._tokenizer.encode(text).ids], np.int64)
        feeds = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        states = self._session.run(["last_hidden_state"], feeds)[0][0]
        pooled: Floats = states.mean(axis=0)
        pooled /= np.sqrt(pooled @ pooled)
        return pooled


_NONE = np.empty((0, WIDTH), np.float32)
