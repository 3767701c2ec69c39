"""Which networks there are, and how the features that they give are laid out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.arrays import Floats
from models.backbone.checkpoints import LITE0, LITE2, PackagedFile, sha256_of
from models.errors import WeightsError

EXPORT_VERSION = "2"
"""Part of the fingerprint: raise it when the exported graph changes."""


IDENTITY_BRANCH = "identity_branch."
"""What the names of a trained tail's tensors begin with in an encoder's file."""


@dataclass(frozen=True)
class BackboneSpec:
    """Which network: a timm name, its weights, its input size in pixels.

    ``weights`` is a packaged file, a local ``.safetensors``/``.pth``, or None for random weights
    (tests only: they are drawn from seed 0). ``identity_branch`` is an encoder's file with a
    trained tail (`models.backbone.identity_branch`), for EfficientNets.
    """

    timm_name: str
    weights: PackagedFile | Path | None
    size: int
    identity_branch: Path | None = None

    def weights_path(self) -> Path | None:
        """The weights on disk, checked; raises WeightsError."""
        return self.weights.locate() if isinstance(self.weights, PackagedFile) else self.weights

    def fingerprint(self) -> str:
        """Twelve hex digits that change with the network, its weights or its input size."""
        path = self.weights_path()
        if path is not None and not path.is_file():
            raise WeightsError(f"no weights for {self.timm_name} at {path}")
        digest = "random" if path is None else sha256_of(path)
        identity_branch = "" if self.identity_branch is None else sha256_of(self.identity_branch)
        key = f"{EXPORT_VERSION}/{self.timm_name}/{self.size}/{digest}/{identity_branch}"
        return hashlib.sha256(key.encode()).hexdigest()[:12]


BACKBONES = {
    "lite2": BackboneSpec("tf_efficientnet_lite2", LITE2, 260),
    "lite0": BackboneSpec("tf_efficientnet_lite0", LITE0, 224),
}


def named_backbone(name: str) -> BackboneSpec:
    """The spec of a name in ``BACKBONES``, or of ``TIMM_NAME:SIZE:PATH`` with local weights.

    For example ``resnet50:224:/data/resnet50.safetensors``. Raises WeightsError.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    timm_name, _, rest = name.partition(":")
    size, _, path = rest.partition(":")
    if not size.isdecimal() or not path:
        raise WeightsError(
            f"unknown backbone {name!r}: use {' or '.join(BACKBONES)}, or TIMM_NAME:SIZE:PATH "
            "with the input size in pixels and a local .safetensors or .pth file"
        )
    return BackboneSpec(timm_name, Path(path), int(size))


@dataclass(frozen=True, eq=False)
class Layout:
    """How a backbone's patch rows are laid out.

    ``grid`` is (rows, columns); ``widths`` the channels of each depth, shallow first; the last one
    is the map that the classifier was trained on. ``identity`` is the width of the trained tail's
    map, which follows them; 0 without one. ``classifier`` is (weight (n, c), bias (n,)), or None
    where the network has no linear one; ``labels`` names its classes, every name with its
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
        """The trained tail's part (..., identity) of patch rows."""
        return patches[..., sum(self.widths) :]
