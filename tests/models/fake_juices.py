"""Juice made by hand: no pictures, no weights."""

import numpy as np

from models.embedding.protocol import Encoded
from models.juicer.juice import Juice
from models.juicer.packed_matrix import EMPTY, PackedMatrix

TOKENS, WIDTH = 5, 8


def juice(seed: int, *, picture: bool = True, text: bool = True, count: int = TOKENS) -> Juice:
    """Random juice: (count, 8) tokens, 6 colours, 4 numbers of text."""
    random = np.random.default_rng(seed)

    def matrix(rows: int, width: int) -> PackedMatrix:
        return PackedMatrix.pack(random.standard_normal((rows, width)).astype(np.float32))

    return Juice(
        token_matrix=matrix(count, WIDTH) if picture else EMPTY,
        colour_matrix=matrix(1, 6) if picture else EMPTY,
        text_matrix=matrix(1, 4) if text else EMPTY,
    )


def encoded(seed: int, *, picture: bool = True, text: bool = True) -> Encoded:
    """A query; the reranker reads its juice only."""
    return Encoded(np.ones(1, np.float32), juice(seed, picture=picture, text=text))
