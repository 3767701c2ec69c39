"""OpenAI's protocol for chats, as far as the reranker speaks it: what is sent, and what is read."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import msgspec
import numpy as np
from PIL import Image

from models.images.letterbox import Picture
from models.reranking.listwise_prompt import (
    NULL,
    SYSTEM,
    Question,
    as_shown,
    labels,
    one_line,
    sections,
)

QUALITY = 90
QUOTED = 200
"""Characters of a server's own message that are shown."""


class Alternative(msgspec.Struct):
    """A token that the answer could have begun with."""

    token: str
    logprob: float


class Token(msgspec.Struct):
    """A token of the answer, with the most probable ones in its place."""

    token: str = ""
    top_logprobs: list[Alternative] = []


class LogProbs(msgspec.Struct):
    """Of each token of the answer; None where the server has none."""

    content: list[Token] | None = None


class Choice(msgspec.Struct):
    """One answer."""

    logprobs: LogProbs | None = None


class Completion(msgspec.Struct):
    """What comes back for a chat."""

    choices: list[Choice] = []


class Model(msgspec.Struct):
    """A model that the server has."""

    id: str


class Models(msgspec.Struct):
    """All of them."""

    data: list[Model] = []


def messages(question: Question) -> list[dict[str, object]]:
    """The chat of a chunk, pictures as data: URIs."""
    parts: list[dict[str, object]] = []
    for before, picture, after in sections(question):
        parts.append({"type": "text", "text": before})
        if picture is not None:
            parts.append({"type": "image_url", "image_url": {"url": data_uri(picture)}})
            parts.append({"type": "text", "text": after})
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": parts}]


def data_uri(picture: Picture) -> str:
    """A picture as JPEG, as small as it is shown."""
    out = io.BytesIO()
    Image.fromarray(as_shown(picture)).save(out, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def by_label(top: Sequence[tuple[str, float]], count: int) -> dict[str, float]:
    """Log-probabilities by answer; tokens that begin the same answer, " 1" and "1", share one.

    A tokenizer may cut NULL: its first letters stand for it. Others answers are left out, so that
    no index is read that the chunk does not have.
    """
    found: dict[str, float] = {}
    for token, logprob in top:
        word = token.strip()
        label = NULL if word and NULL.startswith(word) else word
        if label in labels(count) and not math.isnan(logprob):
            found[label] = float(np.logaddexp(found.get(label, -math.inf), logprob))
    return {label: value for label, value in found.items() if math.isfinite(value)}


def shown(text: str, most: int = QUOTED) -> str:
    """What a server sent, on one line and without commands to a terminal."""
    return one_line(text)[:most]
