"""Which networks there are, and how the features that they give are laid out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.arrays import Floats
from models.backbone.checkpoints import sha256_of
from models.errors import WeightsError
from models.hub.names import is_hub_name
from models.weights import WEIGHTS

EXPORT_VERSION = "3"
"""Part of the fingerprint: raise it when the exported graph changes."""

IDENTITY_BRANCH = "identity_branch."
"""What the names of a trained identity branch's tensors begin with in an encoder's file."""

NETWORK = "network.safetensors"
"""The tensors of an exported network, in its folder."""

Channels = tuple[float, float, float]
LITE_MEAN: Channels = (127 / 255,) * 3
LITE_STD: Channels = (128 / 255,) * 3
"""EfficientNet-Lite sees (x − 127) / 128 of bytes."""


@dataclass(frozen=True)
class BackboneSpec:
    """Which network: a timm name, its weights, its input size in pixels.

    Attributes:
        timm_name: of the architecture.
        weights: a ``.safetensors`` or ``.pth`` file, or None for random weights (tests only: they
            are drawn from seed 0).
        size: side of the square input, in pixels.
        identity_branch: an encoder's file with a trained identity branch
            (`models.backbone.identity_branch`), for EfficientNets.
        exported: the folder of a network that was exported already (`models.backbone.export`).
        normalisation: mean and standard deviation of the pictures that the weights were trained
            on, as fractions of 255; None for what timm says of the network.
    """

    timm_name: str
    weights: Path | None
    size: int
    identity_branch: Path | None = None
    exported: Path | None = None
    normalisation: tuple[Channels, Channels] | None = None

    def fingerprint(self) -> str:
        """Twelve hex digits that change with the network, its weights or its input size."""
        if self.weights is not None and not self.weights.is_file():
            raise WeightsError(f"no weights for {self.timm_name} at {self.weights}")
        digest = "random" if self.weights is None else sha256_of(self.weights)
        identity_branch = "" if self.identity_branch is None else sha256_of(self.identity_branch)
        key = f"{EXPORT_VERSION}/{self.timm_name}/{self.size}/{digest}/{identity_branch}"
        return hashlib.sha256(key.encode()).hexdigest()[:12]


def _packaged(name: str, timm_name: str, size: int) -> BackboneSpec:
    folder = WEIGHTS / name
    return BackboneSpec(
        timm_name,
        folder / NETWORK,
        size,
        exported=folder,
        normalisation=(LITE_MEAN, LITE_STD),
    )


BACKBONES = {
    "lite2": _packaged("lite2", "tf_efficientnet_lite2", 260),
    "lite0": _packaged("lite0", "tf_efficientnet_lite0", 224),
}


def named_backbone(name: str) -> BackboneSpec:
    """The spec of a name in ``BACKBONES``, or of ``TIMM_NAME:SIZE:PATH`` with local weights.

    For example ``resnet50:224:/data/resnet50.safetensors``. Raises WeightsError.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    if is_hub_name(name) or (name and Path(name).is_dir()):
        raise WeightsError(
            f"{name} is served as it is, and cannot be trained: train {' or '.join(BACKBONES)}, or "
            "TIMM_NAME:SIZE:PATH. What shorter vectors of it keep can be fitted "
            "(`lookstream train rotation`)"
        )
    timm_name, _, rest = name.partition(":")
    size, _, path = rest.partition(":")
    if not size.isdecimal() or not path:
        raise WeightsError(
            f"unknown backbone {name!r}: use {' or '.join(BACKBONES)}, an encoder of `lookstream "
            "models list`, a folder of a Hugging Face model, or TIMM_NAME:SIZE:PATH with the input "
            "size in pixels and a local .safetensors or .pth file"
        )
    return BackboneSpec(timm_name, Path(path), int(size))


@dataclass(frozen=True, eq=False)
class Layout:
    """How a backbone's patch rows are laid out.

    ``grid`` is (rows, columns); ``widths`` the channels of each depth, shallow first; the last one
    is the map that the classifier was trained on. ``identity`` is the width of the identity
    branch's map, which follows them; 0 without one. ``classifier`` is (weight (n, c), bias (n,)),
    or None where the network has no linear one; ``labels`` names its classes, every name with its
    synonyms ("jersey, T-shirt, tee shirt"), and is empty where the names are not known.
    """

    grid: tuple[int, int]
    widths: tuple[int, ...]
    classifier: tuple[Floats, Floats] | None
    labels: tuple[str, ...]
    identity: int = 0

    def depths(self, patches: Floats) -> list[Floats]:
        """One array per depth of patch rows (..., sum(widths) + identity)."""
        return np.split(patches, np.cumsum(self.widths), axis=-1)[:-1]

    def identities(self, patches: Floats) -> Floats:
        """The identity branch's part (..., identity) of patch rows."""
        return patches[..., sum(self.widths) :]
