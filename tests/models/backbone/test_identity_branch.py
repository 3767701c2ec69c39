from dataclasses import replace
from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import numpy as np
import torch
from safetensors.torch import save_file

from models.backbone.cuda import TorchBackbone
from models.backbone.identity_branch import IdentityBranch, identity_branch_tensors
from models.backbone.load import load_backbone
from models.backbone.patch_network import patch_network
from models.backbone.spec import BackboneSpec
from models.errors import WeightsError

SPEC = BackboneSpec("tf_efficientnet_lite0", None, 64)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a tail at its first step."""
    path = tmp_path_factory.mktemp("tail") / "encoder.safetensors"
    save_file(dict(identity_branch_tensors(IdentityBranch(patch_network(SPEC)[0].network))), path)
    return path


@pytest.mark.slow
def test_a_new_tail_gives_the_map_it_was_copied_from(copied: Path) -> None:
    spec = replace(SPEC, identity_branch=copied)
    assert spec.fingerprint() != SPEC.fingerprint()
    batch = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    plain, backbone = load_backbone(SPEC, threads=1), load_backbone(spec, threads=1)
    rows, layout = backbone.patches(batch), backbone.layout
    assert layout.widths == plain.layout.widths
    assert layout.identity == 1280
    assert np.allclose(
        np.concatenate(layout.depths(rows), axis=-1), plain.patches(batch), atol=1e-4
    )
    deepest = layout.depths(rows)[-1]
    assert np.abs(layout.identities(rows) - deepest).max() < 0.01 * np.abs(deepest).max()
    half = TorchBackbone(spec, "cpu").patches(batch)
    assert half.shape == rows.shape
    assert plain.layout.identities(plain.patches(batch)).shape[-1] == 0


def test_training_a_tail_leaves_the_network_and_its_statistics() -> None:
    network, _ = patch_network(SPEC)
    identity_branch = IdentityBranch(network.network).requires_grad_(True).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    statistics = {k: v.clone() for k, v in identity_branch.state_dict().items() if "running" in k}
    optimizer = torch.optim.SGD(identity_branch.parameters(), 0.1)
    _, trunk = network(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    start = identity_branch(trunk).detach()
    identity_branch(trunk).square().mean().backward()
    optimizer.step()
    assert not torch.allclose(identity_branch(trunk), start)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(
        torch.equal(statistics[key], identity_branch.state_dict()[key]) for key in statistics
    )


def test_a_tail_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"identity_branch.norm.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="does not fit this backbone"):
        patch_network(replace(SPEC, identity_branch=path))
