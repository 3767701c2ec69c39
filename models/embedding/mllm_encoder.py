"""A vision-language model behind the interface of `models.embedding.encoder.Encoder`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.arrays import Floats, unit
from models.embedding.layout import AS_COMPOSED, PartWeights
from models.embedding.mllm import Mllm, load_mllm
from models.embedding.mllm_files import length_of, mllm_id
from models.embedding.protocol import Encoded, ItemEncoder, SearchEncoder
from models.errors import PictureError, TextError
from models.images.letterbox import Picture
from models.juicer.caption import stems
from models.juicer.objects import FoundObject
from models.text.folding import fold_text
from models.text.sentence_encoders import DEFAULT as DEFAULT_TEXT

BATCH = 8


class MllmEncoder(SearchEncoder):
    """Encodes products and queries with a vision-language model.

    Its vectors mix picture and text in every value, so ``replaces_text`` is False: an encoded item
    can't stand for its picture. Juice comes from ``juicer``, the standard encoder, on whose patches
    the reranker was fitted; beside the large model its cost is negligible.
    """

    replaces_text = False

    def __init__(self, mllm: Mllm, juicer: ItemEncoder, model_id: str, dim: int) -> None:
        self._mllm = mllm
        self._juicer = juicer
        self.model_id = model_id
        self.dim = dim

    def encode_items(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
    ) -> list[Encoded]:
        """Encode items; see `models.embedding.encoder.Encoder.encode_items`.

        Raises PictureError: a picture cannot be read, or is an item encoded before.
        """
        return self._encode(pictures, texts, categories, [False] * len(texts))

    def encode_queries(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        weights: PartWeights = AS_COMPOSED,
    ) -> list[Encoded]:
        """Encode queries; an item encoded without words is the query for its own picture.

        The vectors have no parts: ``weights`` only tell the reranker what catalog is searched.

        Raises:
            PictureError: a picture cannot be read, or is an item that had words or is given some.
            TextError: a query has neither a picture nor a word.
        """
        wordless = [not prompt_text(text or "", ()) for text in texts]
        if any(one is None and empty for one, empty in zip(pictures, wordless, strict=True)):
            raise TextError("a query needs a picture, or a text with at least one word")
        known = list(map(_is_query_already, pictures, wordless))
        fresh = [place for place, done in enumerate(known) if not done]
        encoded = iter(
            self._encode(
                [pictures[at] for at in fresh],
                [texts[at] for at in fresh],
                None,
                [not wordless[at] for at in fresh],
            )
        )
        queries = [
            picture if isinstance(picture, Encoded) and done else next(encoded)
            for picture, done in zip(pictures, known, strict=True)
        ]
        return [replace(query, weights=weights) for query in queries]

    def _encode(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None,
        by_words: Sequence[bool],
    ) -> list[Encoded]:
        paths = categories if categories is not None else [()] * len(texts)
        prompts = [prompt_text(text or "", path) for text, path in zip(texts, paths, strict=True)]
        fresh = [_not_encoded(picture) for picture in pictures]
        juiced = self._juicer.encode_items(fresh, texts, categories)
        vectors = self._vectors(fresh, prompts, by_words)
        return [Encoded(row, one.juice) for row, one in zip(vectors, juiced, strict=True)]

    def find_objects(self, picture: Picture) -> tuple[FoundObject, ...]:
        """Those that the juicer finds."""
        return self._juicer.find_objects(picture)

    def _vectors(
        self, pictures: Sequence[Picture | None], texts: Sequence[str], by_words: Sequence[bool]
    ) -> Floats:
        """Vectors (n, dim) of length 1."""
        import torch  # noqa: PLC0415

        vectors = []
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                some = slice(start, start + BATCH)
                batch = self._mllm.prepare(pictures[some], texts[some], by_words[some])
                states = self._mllm.forward_vectors(batch)
                vectors.append(states[:, : self.dim].float().cpu().numpy())
        return unit(np.concatenate(vectors)) if vectors else np.empty((0, self.dim), np.float32)


def load_mllm_encoder(
    folder: Path,
    juicer: ItemEncoder,
    device: str = "auto",
    dim: int | None = None,
    text: str = DEFAULT_TEXT,
) -> MllmEncoder:
    """The encoder of a folder.

    Args:
        folder: with the model as safetensors, its configuration, tokenizer and processor.
        juicer: makes the juice.
        device: see `models.embedding.mllm.load_mllm`.
        dim: length of the vectors, see `models.embedding.mllm_files.length_of`.
        text: the juicer's sentence encoder, which the model id names.

    Raises:
        WeightsError: the folder holds no such model, its vectors are shorter, or a package is
            missing.
    """
    length = length_of(folder, dim)
    model_id = mllm_id(folder, juicer.model_id, dim, text)
    return MllmEncoder(load_mllm(folder, device), juicer, model_id, length)


def prompt_text(text: str, path: Sequence[str]) -> str:
    """An item's text as it goes into the prompt, in serving and in training: one line, with the
    leaf category unless the text names it already."""
    line = " ".join(text.split())
    if not path or stems(path[-1]) <= stems(line):
        return line if fold_text(line) else ""
    return f"{line}. {path[-1]}" if line else path[-1]


def _not_encoded(picture: Picture | Encoded | None) -> Picture | None:
    if isinstance(picture, Encoded):
        raise PictureError(
            "a vision-language model's vector cannot be given other words: pass the picture itself "
            "(this encoder's `replaces_text` is False)"
        )
    return picture


def _is_query_already(picture: Picture | Encoded | None, wordless: bool) -> bool:
    """Whether it is an item encoded without words, which is the query for its own picture."""
    return wordless and isinstance(picture, Encoded) and not picture.juice.text.size
