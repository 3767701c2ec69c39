"""A multimodal language model as an embedding model (Pailitao-VL, arXiv 2602.13704 §4).

Text and picture are put into the prompt that the model was trained with
(`models.embedding.mllm_prompts`), and one of its last hidden states is the vector, which may be cut
to a prefix where it was trained for that (Matryoshka). `forward_vectors` is what to train.

The model must lie in a folder as safetensors, and no code of the folder is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.backbone.vision_language import load_vision_language
from models.embedding.mllm_prompts import EMB, LAST_TOKEN_MODELS, PAILITAO, QWEN3_VL, Prompts
from models.errors import WeightsError
from models.images.letterbox import Picture

if TYPE_CHECKING:
    import torch

MAX_CHARACTERS = 2000
"""Of a text; the rest is cut off."""

Batch = Mapping[str, "torch.Tensor"]
"""What a processor makes: input_ids (n, tokens), attention_mask, and pixels where there are any."""


class Mllm:
    """A vision-language model with its processor, as an embedding model.

    ``model`` is the base model, without a language head: what ``AutoModel`` loads. A token that the
    prompts end with is added where the tokenizer has none.
    """

    def __init__(self, model: Any, processor: Any, prompts: Prompts = PAILITAO) -> None:
        self.model = model
        self.processor = processor
        self.prompts = prompts
        ending = prompts.ending
        self._token = _token(model, processor.tokenizer, ending) if ending else None
        pictures = processor.image_processor
        self._unit = int(pictures.patch_size) * int(pictures.merge_size)

    @property
    def width(self) -> int:
        """D, the length of a hidden state."""
        return int(self.model.get_input_embeddings().weight.shape[1])

    def prompt(self, text: str, *, has_picture: bool, by_words: bool = False) -> str:
        """The prompt for one item, or for a query ``by_words``, in the model's own chat format."""
        prompts = self.prompts
        system = prompts.words if by_words else prompts.items
        turns = [
            {"role": "system", "content": [{"type": "text", "text": system}]},
            {
                "role": "user",
                "content": prompts.content(_escape_special_tokens(text), has_picture),
            },
        ]
        chat = self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return f"{chat}{prompts.ending}"

    def prepare(
        self,
        pictures: Sequence[Picture | None],
        texts: Sequence[str],
        by_words: Sequence[bool] | None = None,
    ) -> Batch:
        """One batch on the model's device, padded on the right.

        Args:
            pictures: RGB, uint8 (h, w, 3); None where there is none.
            texts: "" where there is none.
            by_words: which are queries with words; none by default.

        Raises:
            PictureError: a picture is no uint8 (h, w, 3), or smaller than 8 × 8.
        """
        prompts = [
            self.prompt(text, has_picture=picture is not None, by_words=asked)
            for picture, text, asked in zip(
                pictures, texts, by_words or [False] * len(texts), strict=True
            )
        ]
        sized = [self.prompts.resize(one, self._unit) for one in pictures if one is not None]
        batch: Batch = self.processor(
            text=prompts,
            images=sized or None,
            do_resize=False,
            padding=True,
            padding_side="right",
            return_tensors="pt",
        ).to(self.model.device)
        return batch

    def forward_vectors(self, batch: Batch) -> torch.Tensor:
        """Hidden states (n, D) at the embedding's token, with gradients and not normalised.

        Raises WeightsError: a row of the batch has no such token.
        """
        import torch  # noqa: PLC0415  only where such a model is used

        states = self.model(**batch).last_hidden_state
        found = batch["attention_mask"].bool()
        if self._token is not None:
            found = batch["input_ids"] == self._token
        if not bool(found.any(dim=1).all()):
            raise WeightsError(
                f"a text was cut before its {self.prompts.ending}: make the batch with `prepare`"
            )
        # The last one, wherever the padding is.
        places = torch.arange(found.shape[1], device=found.device) * found
        rows = torch.arange(len(found), device=found.device)
        at_token: torch.Tensor = states[rows, places.argmax(dim=1)]
        return at_token


def load_mllm(folder: Path, device: str = "auto") -> Mllm:
    """Load a model and its processor; see `models.backbone.vision_language`.

    Raises:
        WeightsError: transformers is missing, or the folder does not hold such a model.
    """
    model, processor = load_vision_language(folder, device, "AutoModel")
    prompts = _prompts_of(folder, processor.tokenizer, str(model.config.model_type))
    return Mllm(model, processor, prompts)


def _prompts_of(folder: Path, tokenizer: Any, kind: str) -> Prompts:
    """How the model was trained to be asked."""
    if EMB in tokenizer.get_vocab():
        return PAILITAO
    if kind in LAST_TOKEN_MODELS:
        return QWEN3_VL
    raise WeightsError(
        f"how the model in {folder} ({kind}) was trained to make embeddings is not known: its "
        f"tokenizer has no {EMB}, and it is no Qwen3-VL-Embedding ({', '.join(LAST_TOKEN_MODELS)})"
    )


def _token(model: Any, tokenizer: Any, text: str) -> int:
    """The id of a special token, added to tokenizer and model where they have none."""
    known = tokenizer.get_vocab()
    if text in known:
        return int(known[text])
    import torch  # noqa: PLC0415

    tokenizer.add_special_tokens({"additional_special_tokens": [text]}, False)
    token = int(tokenizer.convert_tokens_to_ids(text))
    if token >= len(model.get_input_embeddings().weight):
        model.resize_token_embeddings(token + 1, mean_resizing=False)
    # The mean of all embeddings: a start for training that is the same on every machine.
    with torch.no_grad():
        rows = model.get_input_embeddings().weight
        rows[token] = rows[:token].float().mean(dim=0).to(rows.dtype)
    return token


def _escape_special_tokens(text: str) -> str:
    """The text without anything that the tokenizer would take for a special token."""
    return text.replace("<|", "< |").replace("|>", "| >")[:MAX_CHARACTERS]
