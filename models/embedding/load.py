"""Loading the encoder that a name stands for, and its model id without loading it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from models.backbone.checkpoints import sha256_of
from models.backbone.load import exported_towers, load_backbone, network_folder, picture_tower
from models.backbone.spec import BackboneSpec, named_backbone
from models.backbone.tower_files import TowerCard, id_name, read_card, variant_stamp
from models.embedding.encoder import RULES_VERSION, Encoder
from models.embedding.layout import DIM, PREFIXES
from models.embedding.projection import has_identity_branch, load_projection
from models.embedding.text_projection import PACKAGED as PACKAGED_TEXT
from models.embedding.text_projection import load_text_projection
from models.embedding.tower_projection import (
    PACKAGED_COLOUR,
    WordReader,
    fixed_projection,
    load_tower_projection,
    own_length,
)
from models.errors import ProjectionError, WeightsError
from models.hub.names import Variant, variant_of
from models.juicer.juicer import BackboneFeatures
from models.juicer.product_head import load_product_head
from models.juicer.tower_features import TowerFeatures
from models.text.sentence_encoders import DEFAULT as DEFAULT_TEXT
from models.text.sentence_encoders import text_model
from models.weights import WEIGHTS


def load_encoder(
    device: str = "auto",
    backbone: str = "lite2",
    threads: int | None = None,
    projection: Path | None = None,
    dim: int | None = None,
    text: str = DEFAULT_TEXT,
    *,
    offline: bool = False,
) -> Encoder:
    """Load the encoder: "lite2" (default), "lite0" (faster), an encoder of a hub
    (`models.hub.resolve`), a folder of a Hugging Face model (`models.backbone.tower_files`) or a
    ``TIMM_NAME:SIZE:PATH``.

    ``projection`` is a file that ``lookstream train embedding`` wrote; the packaged one otherwise.
    ``device`` is "cpu", "cuda", or "auto": CUDA where a device is there; weights of 8 bits and
    folders of exported networks are for the CPU. ``threads`` serve one picture on the CPU (all
    cores by default, at most 4); results do not depend on it. ``dim`` is how long the vectors are,
    one of `models.embedding.layout.PREFIXES`; by default 768, or as long as a folder's network
    needs.
    ``text`` names the sentence encoder: "minilm" (English) or "multilingual" (the extra of that
    name). A network that is not packaged is exported to ONNX on its first use, which needs torch
    and takes seconds. ``offline`` forbids to fetch one.

    Raises:
        WeightsError: weights are missing or changed, or cannot be fetched; the message says what to
            do.
        ProjectionError: no projection, or one of another backbone.
    """
    threads = threads or min(4, len(os.sched_getaffinity(0)))
    if folder := network_folder(backbone, offline=offline):
        variant = variant_of(backbone)
        return _load_tower_encoder(folder, variant, device, threads, projection, dim, text)
    _check_length(backbone, dim)
    spec, path = _files(backbone, projection)
    network = load_backbone(
        spec, device=best_device() if device == "auto" else device, threads=threads
    )
    maps = load_projection(path, network.layout.widths)
    found = packaged_head(backbone)
    head = load_product_head(found, network.layout.widths) if found.is_file() else None
    source = BackboneFeatures(network, spec.size, head)
    model_id = encoder_id(backbone, projection, dim, text)
    return Encoder(source, maps, load_text_projection(text), model_id, dim or DIM)


def _load_tower_encoder(
    folder: Path,
    variant: Variant,
    device: str,
    threads: int,
    projection: Path | None,
    dim: int | None,
    text: str,
) -> Encoder:
    exported = exported_towers(folder)
    if device == "auto":
        device = "cpu" if variant.int8 or exported == folder else best_device()
    card = read_card(exported)
    maps = (
        fixed_projection(card.width, card.patch_width)
        if projection is None
        else load_tower_projection(projection, card.width, card.patch_width, str(folder))
    )
    tower = picture_tower(folder, exported, device, threads, variant)
    source = TowerFeatures(card, tower)
    words = None if card.text is None else WordReader(exported, card.text, threads, maps)
    length = dim or own_length(card.width)
    model_id = _tower_id(card, variant, projection, length, text)
    return Encoder(source, maps, load_text_projection(text), model_id, length, words)


def encoder_id(
    backbone: str = "lite2",
    projection: Path | None = None,
    dim: int | None = None,
    text: str = DEFAULT_TEXT,
    *,
    offline: bool = False,
) -> str:
    """The model id of what `load_encoder` loads; the files are only hashed, in milliseconds.

    A network of a hub or a folder that is not here, or not exported yet, is fetched and exported.

    Raises:
        WeightsError, ProjectionError: as `load_encoder` does for files that are not there.
    """
    if folder := network_folder(backbone, offline=offline):
        card = read_card(exported_towers(folder))
        length = dim or own_length(card.width)
        return _tower_id(card, variant_of(backbone), projection, length, text)
    _check_length(backbone, dim)
    spec, path = _files(backbone, projection)
    if not path.is_file():
        raise ProjectionError(f"there is no encoder's file {path} (models.projection)")
    name, weights = backbone.partition(":")[0], spec.fingerprint()
    return _model_id(name, text, dim or DIM, weights, sha256_of(path))


def _check_length(backbone: str, dim: int | None, longest: int = DIM) -> None:
    """Raise WeightsError where the vectors of a backbone cannot be as long as that."""
    if dim and dim > longest:
        raise WeightsError(
            f"models.dim is {dim}, and the vectors of {backbone.partition(':')[0]} have at most "
            f"{longest} values"
        )


def _tower_id(
    card: TowerCard, variant: Variant, projection: Path | None, dim: int, text: str
) -> str:
    _check_length(card.name, dim, PREFIXES[-1])
    if projection is not None and not projection.is_file():
        raise ProjectionError(f"there is no encoder's file {projection} (models.projection)")
    fitted = "" if projection is None else sha256_of(projection)
    name = id_name(card.name) + str(variant).replace("+", "_")
    network = card.fingerprint + variant_stamp(variant)
    return _model_id(name, text, dim, network, fitted, sha256_of(PACKAGED_COLOUR))


def _model_id(name: str, text: str, dim: int, *weights: str) -> str:
    of_text = [file.sha256 for file in text_model(text).files]
    parts = (RULES_VERSION, *weights, sha256_of(PACKAGED_TEXT[text]), *of_text)
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:8]
    return f"{name}-{text}-{dim}-{digest}"


def same_weights(one: str, other: str) -> bool:
    """Whether two model ids are of one encoder, up to how long its vectors are."""
    return _without_length(one) == _without_length(other)


def _without_length(model_id: str) -> list[str]:
    """The parts of NETWORK-TEXT-DIM-DIGEST but the third; of another id, all of it."""
    parts = model_id.rsplit("-", 3)
    return [*parts[:2], parts[3]] if len(parts) == 4 and parts[2].isdecimal() else [model_id]


def _files(backbone: str, projection: Path | None) -> tuple[BackboneSpec, Path]:
    """The network, with its identity branch if the encoder's file has one, and that file."""
    spec, path = named_backbone(backbone), projection or packaged_weights(backbone)
    return (replace(spec, identity_branch=path) if has_identity_branch(path) else spec), path


def packaged_weights(backbone: str) -> Path:
    """Where the packaged encoder's file for a backbone is; there may be none."""
    return WEIGHTS / f"{backbone.partition(':')[0]}.safetensors"


def packaged_head(backbone: str) -> Path:
    """Where the packaged head that finds products is, for a backbone; there may be none."""
    return WEIGHTS / f"products-{backbone.partition(':')[0]}.safetensors"


def best_device() -> str:
    """ "cuda" where there is a CUDA device, else "cpu"."""
    if not Path("/dev/nvidiactl").exists() or find_spec("torch") is None:
        return "cpu"
    torch = import_module("torch")  # by name: serving on the CPU never needs it
    return "cuda" if torch.cuda.is_available() else "cpu"
