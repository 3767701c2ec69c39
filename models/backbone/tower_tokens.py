"""The tokenizer of a text tower, as serving has it: by the `tokenizers` library alone.

Only exporting needs this. transformers makes the tokenizer of the folder's files, and what it makes
is kept as `tokenizer.json`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer

from models.backbone.tower_files import (
    OPEN_CLIP_CONFIG,
    TOKENIZER,
    TextCard,
    is_open_clip,
    read_json,
)
from models.errors import WeightsError

SIGLIP = ("siglip", "siglip2")
"""Model types that were trained on texts in lower case, filled up to their full length."""


def read_tokenizer(folder: Path) -> tuple[TextCard, Tokenizer]:
    """How words become tokens, and the tokenizer.

    Raises:
        WeightsError: there is none, or none that the `tokenizers` library can read.
    """
    config = read_json(folder, "config.json")
    settings = read_json(folder, "tokenizer_config.json")
    of_text = config.get("text_config") or {}
    tokenizer = _tokenizer(folder)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if is_open_clip(folder):
        texts = read_json(folder, OPEN_CLIP_CONFIG)["model_cfg"]["text_cfg"]
        length = int(texts.get("context_length", 77))
        # open_clip fills up with 0, and a network without a causal mask sees that.
        return TextCard(tokens=length, padding=0, lowercase=False, punctuation=True), tokenizer
    siglip = config.get("model_type") in SIGLIP
    length = int(of_text.get("max_position_embeddings") or settings.get("model_max_length") or 64)
    if config.get("model_type") == "altclip":
        length -= 2  # RoBERTa counts positions from 2
    padding = tokenizer.token_to_id(str(_content(settings.get("pad_token", "<pad>"))))
    if siglip and padding is None:
        raise WeightsError(f"the tokenizer in {folder} has no pad_token, which SigLIP needs")
    own = settings.get("tokenizer_class", "")
    return (
        TextCard(
            tokens=min(length, int(settings.get("model_max_length") or length)),
            padding=padding if siglip else None,
            lowercase=siglip,
            punctuation=not str(own).startswith("SiglipTokenizer"),
        ),
        tokenizer,
    )


def _tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer as transformers makes it of the folder's files, or the one that lies there."""
    library: Any = transformers
    try:
        made = library.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        kept: Tokenizer = Tokenizer.from_str(made.backend_tokenizer.to_str())
    except Exception as error:  # of many classes; transformers without sentencepiece, for one
        if not (folder / TOKENIZER).is_file():
            raise WeightsError(
                f"{folder} has no {TOKENIZER}, and none can be made of its other files ({error}). "
                "Download the one of the model, or of its copy for transformers.js"
            ) from error
    else:
        return kept
    try:
        return Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # the library has no class of its own
        raise WeightsError(f"{folder / TOKENIZER} cannot be read: {error}") from error


def _content(token: Any) -> Any:
    """A token's text; old files have it as an object."""
    return token.get("content") if isinstance(token, dict) else token
