"""An exported network of a Hugging Face folder on ONNX Runtime: pictures and words in, vectors out.

Pictures and texts are run one at a time, so that their bytes never depend on a neighbour in a
batch, which replay needs.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.arrays import Floats
from models.backbone import tower_files as files
from models.errors import WeightsError

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, eq=False)
class TowerOutput:
    """What a picture tower gives for one picture.

    Attributes:
        patches: a row per patch, (p, c).
        embedding: of the whole picture, (d,), of any length.
        attention: how much each patch counted, (p,); (0,) where the network does not say.
    """

    patches: Floats
    embedding: Floats
    attention: Floats


class Tower(Protocol):
    """A picture tower, wherever it runs."""

    def run_batch(self, pictures: Floats) -> list[TowerOutput]:
        """The outputs for preprocessed pictures (n, 3, s, s); each the same in any batch."""


class PictureTower:
    """The picture tower of a graph; raises WeightsError when it is missing or damaged."""

    def __init__(self, folder: Path, threads: int, graph: str = files.PICTURE_GRAPH) -> None:
        self._session = _session(folder / graph, threads)

    def run_batch(self, pictures: Floats) -> list[TowerOutput]:
        """See `Tower.run_batch`."""
        return [self.run(picture) for picture in pictures]

    def run(self, picture: Floats) -> TowerOutput:
        """The output for one preprocessed picture (3, s, s)."""
        names = ["patches", "embedding", "attention"]
        rows, embedding, attention = self._session.run(names, {"picture": picture[None]})
        return TowerOutput(rows[0], embedding[0], attention[0])


class TextTower:
    """A text tower; raises WeightsError when it is missing or damaged."""

    def __init__(self, folder: Path, card: files.TextCard, threads: int) -> None:
        self._session = _session(folder / files.TEXT_GRAPH, threads)
        self._card = card
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / files.TOKENIZER))
        except Exception as error:  # the library has no class of its own
            raise WeightsError(f"the tokenizer in {folder} cannot be read: {error}") from error
        self._tokenizer.enable_truncation(card.tokens)
        if card.padding is not None:
            token = self._tokenizer.id_to_token(card.padding)
            self._tokenizer.enable_padding(
                length=card.tokens, pad_id=card.padding, pad_token=token or ""
            )

    def ids(self, text: str) -> NDArray[np.int64]:
        """The token ids of a text, as the network was trained on them."""
        if self._card.lowercase:
            text = text.lower()
        if not self._card.punctuation:
            text = text.translate(_NO_PUNCTUATION)
        return np.array(self._tokenizer.encode(" ".join(text.split())).ids, np.int64)

    def embed(self, text: str) -> Floats:
        """The embedding (d,) of a text, of any length; zeros for one without a token."""
        return self.run(self.ids(text))

    def run(self, ids: NDArray[np.int64]) -> Floats:
        """The embedding (d,) of token ids (n,)."""
        embedding: Floats = self._session.run(["embedding"], {"ids": ids[None]})[0][0]
        return embedding


def _session(graph: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would steal the core from the other workers of the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class of their own
        raise WeightsError(
            f"the exported network {graph} cannot be loaded ({error}): remove its folder, and it "
            "is exported anew"
        ) from error
