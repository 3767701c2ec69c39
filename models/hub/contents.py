"""Which files of a repository are fetched: safetensors, and what says how to use them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

import msgspec

from models.errors import HubError
from models.hub.lock import is_safe_name
from models.hub.names import Source
from models.hub.reasons import Reason

RERANKER_HEAD = "absolute_head.safetensors"
"""Beside a vision-language model that was trained to rerank (`models.reranking.absolute_head`)."""
CONFIGS = ("config.json", "open_clip_config.json")
OTHERS = frozenset(
    [
        "preprocessor_config.json",
        "video_preprocessor_config.json",
        "processor_config.json",
        "chat_template.jinja",
        "chat_template.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "tokenizer.model",
        "spiece.model",
        "sentencepiece.bpe.model",
        RERANKER_HEAD,
        "LICENSE",
        "LICENSE.md",
        "LICENSE.txt",
        "NOTICE",
    ]
)
PREFERRED = ("model.safetensors", "open_clip_model.safetensors")
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")


def wanted(source: Source, names: Iterable[str]) -> list[str]:
    """The files to fetch of those that a repository lists, weights last.

    Raises:
        HubError: a name leaves the folder; no configuration; no weights as safetensors.
    """
    names = list(names)
    for name in names:
        if not is_safe_name(name):
            raise HubError(
                Reason.FILE_NAME,
                f"{source.repo} lists a file {name!r}, whose name leaves the folder: nothing was "
                "fetched. Don't use this repository",
            )
    top = {name for name in names if "/" not in name}
    configs = [name for name in CONFIGS if name in top]
    weights = _weights(source, top)
    if not configs:
        raise HubError(
            Reason.CONTENT,
            f"{source.repo} has no config.json, so it is no network that can be loaded: choose "
            "another one (`lookstream models list`)",
        )
    return [*configs, *sorted(top & OTHERS), *weights]


def check_index(source: Source, index: bytes, fetched: Iterable[str]) -> None:
    """Whether all weights that an index names were fetched; raises HubError."""
    try:
        named = set(msgspec.json.decode(index, type=_Index).weight_map.values())
    except msgspec.DecodeError as error:
        raise HubError(Reason.CONTENT, f"{INDEX} of {source.repo} is damaged: {error}") from error
    if missing := sorted(named - set(fetched)):
        raise HubError(
            Reason.CONTENT,
            f"{source.repo} lacks {missing[0]!r}, which its {INDEX} names: choose another revision",
        )


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def _weights(source: Source, top: set[str]) -> list[str]:
    if source.preset is not None and source.preset.weights in top:
        return [source.preset.weights]
    for name in PREFERRED:
        if name in top:
            return [name]
    shards = sorted(name for name in top - OTHERS if name.endswith(".safetensors"))
    if shards:
        return [*([INDEX] if INDEX in top else []), *shards]
    if pickles := sorted(name for name in top if PurePosixPath(name).suffix in PICKLES):
        raise HubError(
            Reason.PICKLE,
            f"{source.repo} has its weights as a pickle only ({pickles[0]}), which can run code "
            "when it is read: choose a revision or repository with .safetensors",
        )
    raise HubError(
        Reason.CONTENT,
        f"{source.repo} has no .safetensors, so there are no weights to fetch: choose another one "
        "(`lookstream models list`)",
    )
