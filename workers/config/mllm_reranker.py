"""The reranker `mllm:…` of the settings: a vision-language model in a folder, or on a server."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TypeGuard

from models.errors import RerankerError
from models.hub.contents import RERANKER_HEAD
from models.hub.names import is_hub_name
from models.hub.resolve import find_folder, local_folder
from models.reranking.chat_server import SERVER_NOTE, ChatServerComparer, check_url
from models.reranking.listwise import HEADLESS_NOTE, ListwiseReranker
from workers.config.secrets import secret
from workers.config.sections import ModelSettings
from workers.progress.lines import Lines

PREFIX = "mllm:"


def is_mllm(name: str | None) -> TypeGuard[str]:
    """Whether `models.reranker` names a vision-language model."""
    return name is not None and name.startswith(PREFIX)


def load_mllm_reranker(models: ModelSettings) -> ListwiseReranker:
    """The reranker that the settings name; a server is not asked anything yet.

    Raises:
        RerankerError: it names no server and no folder.
        WeightsError: the model cannot be fetched or loaded, or the extra `mllm` is not installed.
    """
    named = _named(models)
    if _is_server(named):
        url, _, model = named.partition("#")
        return ListwiseReranker(
            ChatServerComparer(url, model or None, secret(models, "reranker_key"))
        )
    folder = _folder(named, models)
    # By name: only this reranker needs torch and transformers.
    mllm = import_module("models.reranking.mllm")
    return ListwiseReranker(mllm.load_mllm_comparer(folder, models.device))


def mllm_note(models: ModelSettings) -> str:
    """The note of that reranker, without loading it."""
    named = _named(models)
    if _is_server(named):
        return SERVER_NOTE
    folder = find_folder(named) if is_hub_name(named) else Path(named)
    return "" if folder is not None and (folder / RERANKER_HEAD).is_file() else HEADLESS_NOTE


def name_to_fetch(models: ModelSettings) -> str | None:
    """The model of a hub that the settings name, if it is not here yet."""
    named = _named(models)
    return named if is_hub_name(named) and find_folder(named) is None else None


def _named(models: ModelSettings) -> str:
    return (models.reranker or "").removeprefix(PREFIX)


def _is_server(named: str) -> bool:
    if not named.startswith(("http://", "https://")):
        return False
    check_url(named.partition("#")[0])
    return True


def _folder(named: str, models: ModelSettings) -> Path:
    if is_hub_name(named):
        with Lines(sys.stderr) as lines:
            return local_folder(named, progress=lines.phases(), offline=models.offline)
    folder = Path(named)
    if not named or not folder.is_dir():
        raise RerankerError(
            f"models.reranker names the folder {named or '(none)'}, which is not there: write "
            "mllm:FOLDER with a Qwen3-VL in it, mllm:hf:OWNER/NAME, or mllm:http://HOST:PORT/v1"
        )
    return folder
