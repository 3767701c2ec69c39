"""How a vision-language model is asked for an embedding: each as it was trained.

Two ways are known. Pailitao-VL (arXiv 2602.13704 §4) puts a token ``<|EMB|>`` behind its prompt,
and the last hidden state there is the embedding; a model trained so has that token.
Qwen3-VL-Embedding (arXiv 2601.04720 and its public code) has an instruction as the system's turn,
and the last hidden state of the last token, which its tokenizer puts there, is the embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.images.letterbox import Picture, check_picture, letterbox

EMB = "<|EMB|>"
CANVAS_SIDE = 448
"""Pixels of the square canvas for Pailitao-VL's way: 196 visual tokens in Qwen3-VL."""

LEAST_PIXELS, MOST_PIXELS = 4 * 32 * 32, 1800 * 32 * 32
"""Of a picture for Qwen3-VL-Embedding: 4 to 1800 visual tokens."""

LONGEST_STRIP = 200
"""Sides to each other, above which a picture is put on a square: Qwen's code takes no others."""

Part = dict[str, str]
"""A part of a turn in a chat: ``type`` "text" with ``text``, or "image"."""


@dataclass(frozen=True)
class Prompts:
    """How one kind of model is asked.

    Attributes:
        items: the system's turn for items, and for queries by a picture alone, which look for their
            like.
        words: the system's turn for queries with words.
        content: the user's turn, of a text (perhaps empty) and whether there is a picture.
        ending: what follows the chat; the embedding is at the last token of that name, or at the
            last of all where it is empty.
        resize: a picture as the model wants it, from the picture and the side in pixels of what
            becomes one token.
    """

    items: str
    words: str
    content: Callable[[str, bool], list[Part]]
    ending: str
    resize: Callable[[Picture, int], Picture]


def on_square(picture: Picture, _unit: int) -> Picture:
    """The picture on a grey square, so that each has as many tokens; raises PictureError."""
    return letterbox(picture, CANVAS_SIDE)[0]


def in_proportion(picture: Picture, unit: int, most: int = MOST_PIXELS) -> Picture:
    """The picture with its proportions, as ``smart_resize`` of Qwen's code scales it.

    Its sides are multiples of ``unit``, its pixels `LEAST_PIXELS` to ``most``.

    Raises:
        PictureError: it is none.
    """
    check_picture(picture)
    height, width = picture.shape[:2]
    # A longer strip than this would have more than ``most`` pixels with one unit of height.
    longest = min(LONGEST_STRIP, most // unit**2)
    if max(height, width) > longest * min(height, width):
        side = min(CANVAS_SIDE, math.isqrt(most))
        return letterbox(picture, max(unit, side // unit * unit))[0]
    tall, wide = (max(unit, round(side / unit) * unit) for side in (height, width))
    if tall * wide > most:
        shrink = math.sqrt(height * width / most)
        tall, wide = (
            max(unit, math.floor(side / shrink / unit) * unit) for side in (height, width)
        )
    elif tall * wide < LEAST_PIXELS:
        grow = math.sqrt(LEAST_PIXELS / (height * width))
        tall, wide = (math.ceil(side * grow / unit) * unit for side in (height, width))
    return np.array(Image.fromarray(picture).resize((wide, tall), Image.Resampling.BICUBIC))


def _labelled(text: str, has_picture: bool) -> list[Part]:
    parts: list[Part] = []
    if text or not has_picture:
        line = f"Input Text: {text}"
        parts.append({"type": "text", "text": f"{line}\n" if has_picture else line})
    if has_picture:
        parts += [{"type": "text", "text": "Input Image: "}, {"type": "image"}]
    return parts


def _picture_then_text(text: str, has_picture: bool) -> list[Part]:
    pictures: list[Part] = [{"type": "image"}] if has_picture else []
    texts = [{"type": "text", "text": text or "NULL"}] if text or not has_picture else []
    return [*pictures, *texts]


PAILITAO = Prompts(
    items="You are a relevance embedding generator.",
    words="You are a relevance embedding generator.",
    content=_labelled,
    ending=EMB,
    resize=on_square,
)
"""The beginning of the paper's prompt; the rest, if there is any, is not public."""

QWEN3_VL = Prompts(
    items="Represent the user's input.",
    words="Retrieve images or text relevant to the user's query.",
    content=_picture_then_text,
    ending="",
    resize=in_proportion,
)
"""The instructions are the default of the model's code, and the one of its README for queries."""

LAST_TOKEN_MODELS = ("qwen3_vl", "qwen3_vl_moe")
"""Model types that are asked in `QWEN3_VL`'s way where they have no ``<|EMB|>``."""
