"""A network from a Hugging Face folder: what its files say, and what is kept once it is exported.

A folder holds `config.json`, `*.safetensors`, `preprocessor_config.json` and, if it reads words,
its tokenizer; one of open_clip has `open_clip_config.json` in place of both configurations. It is
exported once (`models.backbone.tower_export`) to a folder of ours, which is all that serving reads:

    tower.json       what follows here, `TowerCard`
    picture.onnx     ``picture`` (1, 3, s, s) to ``patches``, ``embedding`` and ``attention``
    text.onnx        ``ids`` (1, n) to ``embedding``; networks of two towers
    *.data           the weights of each
    picture-int8.onnx    the same as picture.onnx, with weights of 8 bits; if it was asked for, as
    picture-evit.onnx    and others, whose layers see fewer tokens
    tokenizer.json   of the text tower
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec

from models.backbone.checkpoints import sha256_of
from models.backbone.preprocessing import Preprocessing, of_open_clip, of_timm, of_transformers
from models.errors import WeightsError
from models.hub.lock import known_sha256
from models.hub.names import Variant

CARD, PICTURE_GRAPH, TEXT_GRAPH, TOKENIZER = (
    "tower.json",
    "picture.onnx",
    "text.onnx",
    "tokenizer.json",
)
INT8_VERSION, FEWER_TOKENS_VERSION = "1", "1"
"""Parts of the model id of vectors from them: raise one when it is made in another way."""

OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
"""What a folder of open_clip has in place of config.json and model.safetensors."""

EXPORT_VERSION = "1"
"""Part of the fingerprint: raise it when what is exported changes."""

FINGERPRINTED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")


class TextCard(msgspec.Struct, frozen=True, kw_only=True):
    """How words become token ids.

    Attributes:
        tokens: the most that the network reads; the rest of a longer text is cut off.
        padding: the id that shorter texts are filled up with; None where they are left as they are.
        lowercase: whether capitals are folded first.
        punctuation: whether punctuation is kept.
    """

    tokens: int
    padding: int | None
    lowercase: bool
    punctuation: bool


class TowerCard(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an exported network.

    Attributes:
        name: of its folder, for people.
        fingerprint: of the folder that it was exported from.
        architecture: transformers' or timm's name of it.
        width: of the embeddings.
        patch_width: of a patch's row.
        grid: rows and columns of patches.
        attention: whether the picture tower says how much each patch counted.
        preprocessing: of pictures.
        text: of words; None where it reads none.
        parameters: how many weights it has.
        difference: the largest difference of a value of the embeddings between ONNX Runtime and
            torch that was seen when it was exported.
    """

    name: str
    fingerprint: str
    architecture: str
    width: int
    patch_width: int
    grid: tuple[int, int]
    attention: bool
    preprocessing: Preprocessing
    text: TextCard | None
    parameters: int
    difference: float


def picture_graph(variant: Variant) -> str:
    """The file of a picture tower."""
    return f"picture{str(variant).replace('+', '-')}.onnx"


def variant_stamp(variant: Variant) -> str:
    """What a variant adds to the fingerprint of its network; nothing for the network as it is."""
    tokens = variant.fewer_tokens.replace("+", "-")
    return (f"{tokens}-{FEWER_TOKENS_VERSION}" if tokens else "") + (
        f"-int8-{INT8_VERSION}" if variant.int8 else ""
    )


def is_exported(folder: Path) -> bool:
    """Whether a folder holds a whole exported network; it is written in one step."""
    return (folder / CARD).is_file()


def read_card(folder: Path) -> TowerCard:
    """Read `tower.json`; raises WeightsError."""
    try:
        return msgspec.json.decode((folder / CARD).read_bytes(), type=TowerCard)
    except (OSError, msgspec.DecodeError) as error:
        raise WeightsError(
            f"no exported network in {folder} ({error}): remove the folder, and it is exported anew"
        ) from error


def fingerprint(folder: Path) -> str:
    """Twelve hex digits that change with the weights, the preprocessing and the tokenizer.

    Raises:
        WeightsError: the folder holds no network with weights as safetensors.
    """
    if is_exported(folder):
        return read_card(folder).fingerprint
    check_folder(folder)
    files = sorted({file for pattern in FINGERPRINTED for file in folder.glob(pattern)})
    key = "/".join([EXPORT_VERSION, *(f"{file.name}:{_sha256(file)}" for file in files)])
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def _sha256(file: Path) -> str:
    """The hash of a file; what was fetched from a hub was hashed then, which saves seconds."""
    return known_sha256(file) or sha256_of(file)


def check_folder(folder: Path) -> None:
    """Raise WeightsError unless the folder has the files of a network."""
    if not (folder / "config.json").is_file() and not is_open_clip(folder):
        raise WeightsError(
            f"{folder} holds no network: a folder as Hugging Face has them is needed, with "
            "config.json, *.safetensors and preprocessor_config.json"
        )
    if not any(folder.glob("*.safetensors")):
        raise WeightsError(
            f"{folder} holds no weights: *.safetensors are needed. Other formats are not read: "
            "they can run code"
        )


def is_open_clip(folder: Path) -> bool:
    """Whether a folder holds a network of open_clip, and none of transformers or timm."""
    return (folder / OPEN_CLIP_CONFIG).is_file() and not (folder / "config.json").is_file()


def is_vision_language(folder: Path) -> bool:
    """Whether a folder holds a language model that is shown pictures as tokens of a prompt.

    Raises WeightsError: its configuration cannot be read.
    """
    config = read_json(folder, "config.json")
    return "image_token_id" in config or "image_token_index" in config


def id_name(name: str) -> str:
    """A folder's name as the first part of a model id, which "-" separates from the next."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", name).strip("_")[:40] or "network"


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of a folder; empty where there is no such file; raises WeightsError."""
    path = folder / name
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} is no JSON object")
    return found


def timm_name(config: dict[str, Any]) -> str | None:
    """The architecture of a timm folder, by its `config.json`; None of a transformers folder."""
    name = config.get("architecture")
    return name if isinstance(name, str) else None


def read_preprocessing(folder: Path) -> Preprocessing:
    """How a folder's network wants its pictures; raises WeightsError."""
    config = read_json(folder, "config.json")
    try:
        if is_open_clip(folder):
            return of_open_clip(read_json(folder, OPEN_CLIP_CONFIG))
        if timm_name(config) is not None:
            return of_timm(config.get("pretrained_cfg") or config)
        settings = read_json(folder, "preprocessor_config.json")
        settings = settings or read_json(folder, "processor_config.json").get("image_processor", {})
        if not settings:
            raise WeightsError(
                f"{folder} has no preprocessor_config.json, which says how pictures are prepared"
            )
        return of_transformers(settings)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"the preprocessing that {folder} asks for cannot be read: {error!r}"
        ) from error
