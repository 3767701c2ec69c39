"""A multimodal language model as the encoder (Pailitao-VL, arXiv 2602.13704 §4).

Any vision-language model of transformers gets text and picture in the paper's prompt, which ends
with a token ``<|EMB|>``; the last hidden state at that token is the vector, cut to the configured
length, which Matryoshka training allows (`forward_vectors` is what to train).

The model must have been trained for it, and lie in a local folder as safetensors. Nothing is
downloaded, and no code of the folder is run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from models.arrays import Floats, unit
from models.backbone.checkpoints import sha256_of
from models.embedding.layout import AS_COMPOSED, PartWeights
from models.embedding.protocol import Encoded, ItemEncoder, SearchEncoder
from models.errors import PictureError, TextError, WeightsError
from models.images.letterbox import Picture, letterbox
from models.juicer.caption import stems
from models.text.folding import fold_text

if TYPE_CHECKING:
    import torch

SYSTEM = "You are a relevance embedding generator."
"""The beginning of the paper's prompt; the rest, if there is any, is not public."""

EMB = "<|EMB|>"
DEFAULT_DIM = 512
PICTURE_SIDE = 448
"""Pixels of the square canvas: 196 visual tokens in Qwen3-VL."""

MAX_CHARACTERS = 2000
"""Of a text; the rest is cut off."""

BATCH = 8
RULES_VERSION = "1"
"""Part of the model id: raise it when the prompt or what goes into it changes."""

INSTALL = "install transformers with `pip install 'lookstream[mllm]'`"

Batch = Mapping[str, "torch.Tensor"]
"""What a processor makes: input_ids (n, tokens), attention_mask, and pixels where there are any."""


class Mllm:
    """A vision-language model with its processor, as an embedding model.

    ``model`` is the base model, without a language head: what ``AutoModel`` loads. The embedding
    token is added where the tokenizer has none.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self._token = _embedding_token(model, processor.tokenizer)

    @property
    def width(self) -> int:
        """D, the length of a hidden state."""
        return int(self.model.get_input_embeddings().weight.shape[1])

    def prompt(self, text: str, *, has_picture: bool) -> str:
        """The prompt for one item, in the model's own chat format; ends with ``<|EMB|>``."""
        content: list[dict[str, str]] = []
        if text or not has_picture:
            line = f"Input Text: {_escape_special_tokens(text)}"
            content.append({"type": "text", "text": f"{line}\n" if has_picture else line})
        if has_picture:
            content += [{"type": "text", "text": "Input Image: "}, {"type": "image"}]
        turns = [
            {"role": "system", "content": [{"type": "text", "text": SYSTEM}]},
            {"role": "user", "content": content},
        ]
        chat = self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return f"{chat}{EMB}"

    def prepare(self, pictures: Sequence[Picture | None], texts: Sequence[str]) -> Batch:
        """One batch on the model's device, padded on the right.

        Raises PictureError: a picture is no uint8 (h, w, 3), or smaller than 8 × 8.
        """
        prompts = [
            self.prompt(text, has_picture=picture is not None)
            for picture, text in zip(pictures, texts, strict=True)
        ]
        # Squares of one size: so every picture has the same number of tokens, and the processor
        # takes the narrowest strip.
        squares = [
            letterbox(picture, PICTURE_SIDE)[0] for picture in pictures if picture is not None
        ]
        batch: Batch = self.processor(
            text=prompts,
            images=squares or None,
            padding=True,
            padding_side="right",
            return_tensors="pt",
        ).to(self.model.device)
        return batch

    def forward_vectors(self, batch: Batch) -> torch.Tensor:
        """Hidden states (n, D) at ``<|EMB|>``, with gradients and not normalised.

        Raises WeightsError: a row of the batch has no such token.
        """
        import torch  # noqa: PLC0415  only where such a model is used

        states = self.model(**batch).last_hidden_state
        found = batch["input_ids"] == self._token
        if not bool(found.any(dim=1).all()):
            raise WeightsError(f"a text was cut before its {EMB}: make the batch with `prepare`")
        # The last one, wherever the padding is.
        places = torch.arange(found.shape[1], device=found.device) * found
        rows = torch.arange(len(found), device=found.device)
        at_token: torch.Tensor = states[rows, places.argmax(dim=1)]
        return at_token


def prompt_text(text: str, path: Sequence[str]) -> str:
    """An item's text as it goes into the prompt, in serving and in training: one line, with the
    leaf category unless the text names it already."""
    line = " ".join(text.split())
    if not path or stems(path[-1]) <= stems(line):
        return line if fold_text(line) else ""
    return f"{line}. {path[-1]}" if line else path[-1]


class MllmEncoder(SearchEncoder):
    """A vision-language model behind the interface of `models.embedding.encoder.Encoder`.

    Its vectors mix picture and text in every value, so ``replaces_text`` is False: an encoded item
    can't stand for its picture. Juice comes from ``juicer``, the standard encoder, on whose patches
    the reranker was fitted; beside the large model its cost is negligible.
    """

    replaces_text = False

    def __init__(self, mllm: Mllm, juicer: ItemEncoder, name: str, dim: int = DEFAULT_DIM) -> None:
        self._mllm = mllm
        self._juicer = juicer
        self.dim = min(dim, mllm.width)
        self.model_id = f"mllm-{self.dim}-{_digest(RULES_VERSION, SYSTEM, name, juicer.model_id)}"

    def encode_items(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
    ) -> list[Encoded]:
        """Encode items; see `models.embedding.encoder.Encoder.encode_items`.

        Raises PictureError: a picture cannot be read, or is an item encoded before.
        """
        paths = categories if categories is not None else [()] * len(texts)
        prompts = [prompt_text(text or "", path) for text, path in zip(texts, paths, strict=True)]
        fresh = [_not_encoded(picture) for picture in pictures]
        juiced = self._juicer.encode_items(fresh, texts, categories)
        vectors = self._vectors(fresh, prompts)
        return [Encoded(row, one.juice) for row, one in zip(vectors, juiced, strict=True)]

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
            self.encode_items([pictures[at] for at in fresh], [texts[at] for at in fresh])
        )
        queries = [
            picture if isinstance(picture, Encoded) and done else next(encoded)
            for picture, done in zip(pictures, known, strict=True)
        ]
        return [replace(query, weights=weights) for query in queries]

    def _vectors(self, pictures: Sequence[Picture | None], texts: Sequence[str]) -> Floats:
        """Vectors (n, dim) of length 1."""
        import torch  # noqa: PLC0415

        vectors = []
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                some = slice(start, start + BATCH)
                batch = self._mllm.prepare(pictures[some], texts[some])
                states = self._mllm.forward_vectors(batch)
                vectors.append(states[:, : self.dim].float().cpu().numpy())
        return unit(np.concatenate(vectors)) if vectors else np.empty((0, self.dim), np.float32)


def load_mllm(folder: Path, device: str = "auto") -> Mllm:
    """Load a model and its processor from a local folder of safetensors.

    ``device`` is "cpu" (float32), "cuda" (bfloat16), or "auto": CUDA where a device is there.

    Raises:
        WeightsError: transformers is missing, or the folder does not hold such a model.
    """
    try:
        import transformers  # noqa: PLC0415  an optional extra
    except ImportError as error:
        raise WeightsError(f"a vision-language model needs transformers: {INSTALL}") from error
    import torch  # noqa: PLC0415

    library: Any = transformers
    if not list(folder.glob("*.safetensors")):
        raise WeightsError(
            f"{folder} holds no *.safetensors; download the model there with its config.json, "
            "tokenizer and processor files. Other formats are not read: they can run code"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        processor = library.AutoProcessor.from_pretrained(folder, **local)
        model = library.AutoModel.from_pretrained(
            folder,
            use_safetensors=True,
            dtype=torch.bfloat16 if device == "cuda" else torch.float32,
            **local,
        )
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{folder} holds no vision-language model that transformers can load: {error}"
        ) from error
    if not hasattr(processor, "image_processor"):
        raise WeightsError(
            f"{folder} holds a model of text alone; one that reads pictures is needed"
        )
    return Mllm(model.to(device).eval(), processor)


def load_mllm_encoder(
    folder: Path, juicer: ItemEncoder, device: str = "auto", dim: int = DEFAULT_DIM
) -> MllmEncoder:
    """`load_mllm` behind the encoder's interface; the model id holds a hash of all its weights.

    Raises WeightsError as `load_mllm` does.
    """
    mllm = load_mllm(folder, device)
    files = sorted((*folder.glob("*.safetensors"), *folder.glob("*.json")))
    name = _digest(*(f"{one.name}:{sha256_of(one)}" for one in files))
    return MllmEncoder(mllm, juicer, name, dim)


def _embedding_token(model: Any, tokenizer: Any) -> int:
    """The id of ``<|EMB|>``, added to tokenizer and model where they have none."""
    known = tokenizer.get_vocab()
    if EMB in known:
        return int(known[EMB])
    import torch  # noqa: PLC0415

    tokenizer.add_special_tokens({"additional_special_tokens": [EMB]}, False)
    token = int(tokenizer.convert_tokens_to_ids(EMB))
    if token >= len(model.get_input_embeddings().weight):
        model.resize_token_embeddings(token + 1, mean_resizing=False)
    # The mean of all embeddings: a start for training that is the same on every machine.
    with torch.no_grad():
        rows = model.get_input_embeddings().weight
        rows[token] = rows[:token].float().mean(dim=0).to(rows.dtype)
    return token


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


def _escape_special_tokens(text: str) -> str:
    """The text without anything that the tokenizer would take for a special token."""
    return text.replace("<|", "< |").replace("|>", "| >")[:MAX_CHARACTERS]


def _digest(*parts: str) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:8]
