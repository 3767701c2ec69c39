"""The command line with two encoders that cost no time: `python -m tests.doubles.two_encoders`.

Both see the colour that a text begins with. The one in place of the backbone lite2 finds items of
the colour that is asked for; the one in place of any other finds those of the next colour, so that
a list of both indexes, or by the wrong encoder, can be told from a right one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.embedding.layout import AS_COMPOSED, PartWeights
from models.embedding.protocol import Encoded, SearchEncoder
from models.images.letterbox import Picture
from models.juicer.juice import Juice
from models.juicer.packed_matrix import PackedMatrix
from workers.config import load_models
from workers.config.sections import ModelSettings

COLOURS = ("red", "green", "blue", "yellow")
DIM = 32


class SayingColour(SearchEncoder):
    """Encodes the first word of a text, which is a colour, and a little of the whole text.

    Args:
        model_id: whose vectors these are.
        shift: how many colours further a query looks than it says.
    """

    dim = DIM
    replaces_text = True

    def __init__(self, model_id: str, shift: int) -> None:
        self.model_id = model_id
        self.shift = shift

    def encode_items(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
    ) -> list[Encoded]:
        """One vector and its juice for each text."""
        return [_encoded(text or "", 0) for text in texts]

    def encode_queries(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        weights: PartWeights = AS_COMPOSED,
    ) -> list[Encoded]:
        """The same for queries."""
        return [replace(_encoded(text or "", self.shift), weights=weights) for text in texts]


def found_by(model_id: str, colour: str) -> str:
    """The colour of the items that a query for a colour finds."""
    return COLOURS[(COLOURS.index(colour) + _shift(model_id)) % len(COLOURS)]


def encoder_for(models: ModelSettings) -> SayingColour:
    """The encoder that stands for a backbone."""
    model_id = f"saying-{models.backbone}"
    return SayingColour(model_id, _shift(model_id))


def _shift(model_id: str) -> int:
    return 0 if model_id == "saying-lite2" else 1


def _encoded(text: str, shift: int) -> Encoded:
    word = text.split(" ", maxsplit=1)[0]
    digest = hashlib.sha256(text.encode()).digest()
    vector = 0.3 * (np.frombuffer(digest, np.uint8).astype(np.float32) / 255 - 0.5)
    if word in COLOURS:
        vector[(COLOURS.index(word) + shift) % len(COLOURS)] += 3
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    tokens = PackedMatrix.pack(unit[None])
    return Encoded(unit, Juice(grid=(1, 1), kept=(0,), caption=text, token_matrix=tokens))


def main() -> None:
    """Run a command, with these encoders in place of the real ones."""
    for name, double in {
        "encoder_for": encoder_for,
        "fetch_backbone": lambda _models: None,
        "encoder_id": lambda backbone, *_, **__: f"saying-{backbone}",
    }.items():
        setattr(load_models, name, double)
    from workers.cli import main as run  # after that: it takes them by name

    run()


if __name__ == "__main__":
    main()
