"""A vision-language model that compares a chunk in one forward pass (Pailitao-VL §5).

Comparative scores are the logits of the index tokens and of NULL where the answer begins; absolute
ones come from a head (`models.reranking.absolute_head`) on the states of each picture's tokens,
pooled. A document without a picture is pooled over the tokens of its words. `forward` is what to
train.

Each section of the prompt is turned into tokens by itself, so that what a document's words are made
of cannot change where another begins, and the tokens of each are known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.backbone.tower_files import read_json
from models.backbone.vision_language import load_vision_language
from models.errors import RerankerError, RerankerLate, WeightsError
from models.images.letterbox import Picture
from models.reranking.absolute_head import AbsoluteHead, load_head
from models.reranking.listwise import HEADLESS_NOTE, Compared, Comparer
from models.reranking.listwise_prompt import (
    INDICES,
    NULL,
    SYSTEM,
    Question,
    as_shown,
    sections,
)

MODEL_TYPES = ("qwen3_vl", "qwen3_vl_moe")
PASS_ON_GPU = 10
"""Chunks in one forward pass; on the CPU one, so that the time is looked at between them."""
PLACE = "\ue000"
"""Stands for the user's turn in the chat template."""
OUTSIDE = -1
"""The section of tokens that belong to no document: template, closing, padding."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Chunks as tensors, padded on the right.

    Attributes:
        inputs: of the model.
        sections: whose each token is, (n, tokens): 0 the query's, i a document's from 1, `OUTSIDE`.
        answer: where the answer begins, (n,): the last token of each prompt.
        counts: documents of each chunk.
    """

    inputs: dict[str, Tensor]
    sections: Tensor
    answer: Tensor
    counts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Passed:
    """What a forward pass gives; of absent documents values mean nothing.

    `scores` (n, size), `null` (n,), `levels` (n, size, 4) logits or None without a head,
    `vocabulary` (n, tokens) logits of the answer's first token.
    """

    scores: Tensor
    null: Tensor
    levels: Tensor | None
    vocabulary: Tensor


class MllmComparer(Comparer):
    """A `Comparer` that is a model with its processor and, if it was trained so, a head."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        head: AbsoluteHead | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self.processor = processor
        self.head = head
        self.note = "" if head is not None else HEADLESS_NOTE
        self._clock = clock
        pictures = processor.image_processor
        self._merged = int(pictures.merge_size) ** 2
        self._unit = int(pictures.patch_size) * int(pictures.merge_size)
        config = model.config
        self._image = int(config.image_token_id)
        self._around = int(config.vision_start_token_id), int(config.vision_end_token_id)
        tokenizer = processor.tokenizer
        self._pad = tokenizer.pad_token_id or 0
        self.index_tokens = [self._tokens(label)[0] for label in INDICES]
        self.null_token = self._tokens(NULL)[0]
        if len({*self.index_tokens, self.null_token}) <= len(INDICES):
            raise WeightsError(
                "the model's tokenizer begins two of 0 to 9 and NULL with the same token, so that "
                "its answers cannot be told apart: take another model"
            )
        self._frame = self._chat_frame()

    @property
    def width(self) -> int:
        """D, the length of a hidden state."""
        return int(self.model.get_input_embeddings().weight.shape[1])

    def compare(self, questions: Sequence[Question], until: float) -> list[Compared]:
        """See `models.reranking.listwise.Comparer`; a pass that has begun is finished."""
        at_once = 1 if self.model.device.type == "cpu" else PASS_ON_GPU
        compared: list[Compared] = []
        took = 0.0
        for start in range(0, len(questions), at_once):
            began = self._clock()
            if began + took > until:
                raise RerankerLate(
                    f"{start} of {len(questions)} chunks were compared in time "
                    f"(query.rerank_s), one pass takes {took:.1f} s"
                )
            try:
                compared += self._compare(questions[start : start + at_once])
            except torch.OutOfMemoryError as error:
                raise RerankerError(
                    f"the GPU has too little memory for the reranker: {error}"
                ) from error
            took = self._clock() - began
        return compared

    def check(self) -> str:
        """What it is; it was loaded, so it can answer."""
        kind = type(self.model).__name__
        return f"{kind} {'with' if self.head is not None else 'without'} a head"

    @torch.inference_mode()
    def _compare(self, questions: Sequence[Question]) -> list[Compared]:
        batch = self.prepare(questions)
        passed = self.forward(batch)
        levels = passed.levels
        scores, null = passed.scores.double().cpu().numpy(), passed.null.double().cpu().numpy()
        rows = None if levels is None else levels.double().softmax(-1).cpu().numpy()
        return [
            Compared(
                scores[at, :count], float(null[at]), None if rows is None else rows[at, :count]
            )
            for at, count in enumerate(batch.counts)
        ]

    def prepare(self, questions: Sequence[Question]) -> Batch:
        """Chunks on the model's device."""
        pictures: list[Picture] = []
        rows, owners = [], []
        for question in questions:
            tokens, owner, shown = self._question(question, len(pictures))
            pictures += shown
            rows.append(tokens)
            owners.append(owner)
        inputs: dict[str, Tensor] = dict(self._pixels(pictures)) if pictures else {}
        grids = inputs.get("image_grid_thw")
        counts = [] if grids is None else (grids.prod(dim=1) // self._merged).tolist()
        expanded = [
            _expand(tokens, owner, counts) for tokens, owner in zip(rows, owners, strict=True)
        ]
        longest = max(len(tokens) for tokens, _ in expanded)
        ids = torch.full((len(rows), longest), self._pad)
        whose = torch.full((len(rows), longest), OUTSIDE)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for at, (tokens, owner) in enumerate(expanded):
            ids[at, : len(tokens)] = torch.tensor([self._image if t < 0 else t for t in tokens])
            whose[at, : len(tokens)] = torch.tensor(owner)
            mask[at, : len(tokens)] = 1
        inputs |= {"input_ids": ids, "attention_mask": mask}
        inputs["mm_token_type_ids"] = ((ids == self._image) & mask.bool()).long()
        device = self.model.device
        return Batch(
            {name: value.to(device) for name, value in inputs.items()},
            whose.to(device),
            (mask.sum(dim=1) - 1).to(device),
            tuple(len(question.texts) for question in questions),
        )

    def forward(self, batch: Batch) -> Passed:
        """Scores of each chunk's documents, with gradients."""
        states = self.model.model(**batch.inputs).last_hidden_state
        rows = torch.arange(len(states), device=states.device)
        vocabulary: Tensor = self.model.get_output_embeddings()(states[rows, batch.answer]).float()
        size = max(batch.counts)
        levels = None
        if self.head is not None:
            pooled = pool(states, batch.sections, batch.inputs["mm_token_type_ids"].bool(), size)
            levels = self.head(pooled)
        return Passed(
            scores=vocabulary[:, self.index_tokens[:size]],
            null=vocabulary[:, self.null_token],
            levels=levels,
            vocabulary=vocabulary,
        )

    def _question(
        self, question: Question, first: int
    ) -> tuple[list[int], list[int], list[Picture]]:
        """Tokens, whose each is, and the pictures; -1 - n stands for all of picture n."""
        opening, closing = self._frame
        tokens, owner = list(opening), [OUTSIDE] * len(opening)
        pictures: list[Picture] = []
        parts = sections(question)
        for number, (before, picture, after) in enumerate(parts):
            piece = self._tokens(before)
            if picture is not None:
                start, end = self._around
                piece += [start, -1 - first - len(pictures), end]
                pictures.append(as_shown(picture, self._unit))
                piece += self._tokens(after)
            tokens += piece
            owner += [number if number < len(parts) - 1 else OUTSIDE] * len(piece)
        tokens += closing
        return tokens, owner + [OUTSIDE] * len(closing), pictures

    def _pixels(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.processor.image_processor(
            images=[np.ascontiguousarray(one) for one in pictures],
            do_resize=False,
            return_tensors="pt",
        )
        return {name: found[name] for name in ("pixel_values", "image_grid_thw")}

    def _tokens(self, text: str) -> list[int]:
        return list(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _chat_frame(self) -> tuple[list[int], list[int]]:
        """What stands before and behind the user's turn in the model's own chat format."""
        turns = [
            {"role": "system", "content": [{"type": "text", "text": SYSTEM}]},
            {"role": "user", "content": [{"type": "text", "text": PLACE}]},
        ]
        chat = self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        before, place, after = str(chat).partition(PLACE)
        if not place:
            raise WeightsError("the model's chat template leaves out what the user says")
        if after.rstrip().endswith("<think>"):
            raise WeightsError("the model thinks before it answers: take an instruct model")
        return self._tokens(before), self._tokens(after)


def pool(states: Tensor, sections: Tensor, is_picture: Tensor, size: int) -> Tensor:
    """Mean state of each section's picture tokens, or of all its tokens where it has no picture.

    Takes states (n, tokens, D), sections and is_picture (n, tokens); gives float32 (n, 1 + size,
    D), zeros for absent documents.
    """
    numbers = torch.arange(1 + size, device=states.device)
    own = sections[:, None, :] == numbers[None, :, None]
    pictured = own & is_picture[:, None, :]
    chosen = torch.where(pictured.any(dim=2, keepdim=True), pictured, own).float()
    pooled: Tensor = chosen @ states.float() / chosen.sum(dim=2, keepdim=True).clamp(min=1)
    return pooled


def _expand(
    tokens: Sequence[int], owner: Sequence[int], counts: Sequence[int]
) -> tuple[list[int], list[int]]:
    """What stands for a picture, as many times as the picture has tokens."""
    found: list[int] = []
    whose: list[int] = []
    for token, one in zip(tokens, owner, strict=True):
        times = counts[-1 - token] if token < 0 else 1
        found += [token] * times
        whose += [one] * times
    return found, whose


def load_mllm_comparer(
    folder: Path, device: str = "auto", *, to_train: bool = False
) -> MllmComparer:
    """The comparer of a folder with a Qwen3-VL, and of the head beside it if there is one.

    `to_train` loads it in float32 on every device.

    Raises:
        WeightsError: the folder does not hold such a model, or transformers is missing.
    """
    kind = read_json(folder, "config.json").get("model_type")
    if kind not in MODEL_TYPES:
        raise WeightsError(
            f"{folder} holds a model of type {kind!r}: the reranker reads {', '.join(MODEL_TYPES)}"
        )
    model, processor = load_vision_language(
        folder, device, "AutoModelForImageTextToText", to_train=to_train
    )
    width = int(model.get_input_embeddings().weight.shape[1])
    head = load_head(folder, width)
    return MllmComparer(model, processor, None if head is None else head.to(model.device))
